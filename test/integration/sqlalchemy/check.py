"""Models, migrations of a schema, relations, transactions and introspection with SQLAlchemy: prints what it finds."""
import sys, datetime, decimal
from sqlalchemy import *
from sqlalchemy.orm import *
from sqlalchemy.dialects.postgresql import insert as pginsert, ARRAY, JSONB, UUID, ENUM
import sqlalchemy as sa, uuid, enum
port, db = sys.argv[1], sys.argv[2]
e = create_engine(f"postgresql+psycopg://postgres@127.0.0.1:{port}/{db}")
class Base(DeclarativeBase): pass
class Color(enum.Enum): red='red'; green='green'
tags = Table('post_tags', Base.metadata, Column('post_id', ForeignKey('posts.id', ondelete='CASCADE'), primary_key=True), Column('tag_id', ForeignKey('tags.id'), primary_key=True))
class User(Base):
    __tablename__='users'
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(100), unique=True, index=True)
    color: Mapped[Color] = mapped_column(default=Color.red)
    created: Mapped[datetime.datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    posts: Mapped[list['Post']] = relationship(back_populates='user', cascade='all, delete-orphan')
class Tag(Base):
    __tablename__='tags'
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
class Post(Base):
    __tablename__='posts'
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey('users.id'), index=True)
    title: Mapped[str]
    price: Mapped[decimal.Decimal] = mapped_column(Numeric(10,2), default=0)
    data: Mapped[dict] = mapped_column(JSONB, default={})
    labels: Mapped[list] = mapped_column(ARRAY(String), default=[])
    key: Mapped[uuid.UUID] = mapped_column(server_default=text('gen_random_uuid()'))
    version: Mapped[int] = mapped_column(default=1)
    user: Mapped[User] = relationship(back_populates='posts')
    tags: Mapped[list[Tag]] = relationship(secondary=tags)
    __mapper_args__ = {'version_id_col': version}
    __table_args__ = (CheckConstraint('price >= 0', name='price_ok'), Index('ix_posts_title', text('lower(title)')), {'comment': 'posts of users'})
class Event(Base):
    __tablename__='events'
    id: Mapped[int] = mapped_column(primary_key=True)
    what: Mapped[str]
out=[]
Base.metadata.drop_all(e); Base.metadata.create_all(e); Base.metadata.create_all(e)
with Session(e) as s:
    us=[User(email=f'u{i}@x') for i in range(20)]
    ts=[Tag(name=f't{i}') for i in range(5)]
    for i,u in enumerate(us):
        u.posts=[Post(title=f'P{i}-{j}', price=decimal.Decimal(i+j), data={'a': j}, labels=['x',str(j)], tags=ts[:j]) for j in range(3)]
    s.add_all(us); s.commit()
    s.add_all([Event(what=f'e{i}') for i in range(1000)]); s.commit()
    out.append(s.scalars(select(func.count()).select_from(Post)).one())
    out.append([ (u.email, len(u.posts)) for u in s.scalars(select(User).options(selectinload(User.posts).selectinload(Post.tags)).order_by(User.id).limit(3))])
    out.append([ (u.email, [p.title for p in u.posts]) for u in s.scalars(select(User).options(joinedload(User.posts)).order_by(User.id).limit(2)).unique()])
    p=s.scalars(select(Post).where(Post.title=='P3-1')).one(); p.price=99; s.commit(); out.append((p.version, p.price, p.data, p.labels))
    u=s.get(User, us[0].id); s.delete(u); s.commit(); out.append(s.scalar(select(func.count()).select_from(Post)))
    try:
        s.add(User(email='u5@x')); s.commit()
    except sa.exc.IntegrityError as x: s.rollback(); out.append(type(x.orig).__name__)
    with s.begin_nested():
        s.add(Tag(name='nested')); s.flush()
    try:
        with s.begin_nested():
            s.add(Tag(name='nested')); s.flush()
    except sa.exc.IntegrityError: out.append('nested failed')
    s.commit()
    out.append(s.execute(pginsert(Tag).values([{'name':'t1'},{'name':'zz'}]).on_conflict_do_update(index_elements=['name'], set_={'name': sa.text("excluded.name || '!'")}).returning(Tag.name)).scalars().all()); s.commit()
    out.append(s.execute(update(Post).where(Post.price<5).values(price=Post.price+1).returning(Post.id)).all().__len__()); s.commit()
    out.append(s.execute(delete(Event).where(Event.id % 2 == 0)).rowcount); s.commit()
    out.append(s.execute(select(User.email, func.count(Post.id), func.sum(Post.price)).join(Post).group_by(User.email).having(func.count()>0).order_by(User.email).limit(4)).all())
    out.append(len(s.execute(select(Event).execution_options(yield_per=100)).scalars().all()))
    out.append(s.execute(select(Post).with_for_update(skip_locked=True).where(Post.id==5)).scalar_one().title)
    s.commit()
    out.append(s.execute(insert(Event).returning(Event.id, sort_by_parameter_order=True), [{'what':str(i)} for i in range(50)]).scalars().all()[-1]); s.commit()
i=inspect(e)
out.append(sorted(i.get_table_names())); out.append(i.get_schema_names()); out.append(i.get_view_names())
for t in ('users','posts','post_tags'):
    out += [[(c['name'],str(c['type']),c['nullable'],c['default']) for c in i.get_columns(t)], i.get_pk_constraint(t), i.get_foreign_keys(t), i.get_indexes(t), i.get_unique_constraints(t), i.get_check_constraints(t), i.get_table_comment(t)]
out.append(i.get_enums()); out.append(i.get_sequence_names())
m=MetaData(); m.reflect(e); out.append(sorted(m.tables))
e2=e.execution_options(isolation_level='SERIALIZABLE')
with e2.connect() as c: out.append(c.execute(text('select count(*) from events where id = 1')).scalar())
with e.execution_options(isolation_level='REPEATABLE READ').begin() as c: out.append(c.execute(text('select count(*) from events e join posts p on p.id = e.id')).scalar())
for o in out: print(o)
Base.metadata.drop_all(e)
