-- A move is of a bucket, or of a single table and those that have to be where it is.
ALTER TABLE pgherd.move
    ALTER group_id DROP NOT NULL,
    ALTER bucket DROP NOT NULL,
    -- A number of pgherd.placement. The tables may be no more by the time the move is over.
    ADD table_id integer,
    ADD CHECK ((group_id IS NULL) = (bucket IS NULL) AND (group_id IS NULL) <> (table_id IS NULL));
CREATE UNIQUE INDEX move_one_a_table ON pgherd.move (table_id) WHERE stage NOT IN ('done', 'undone');
