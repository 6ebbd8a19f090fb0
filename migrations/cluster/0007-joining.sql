-- A shard is 'joining' from before the first thing of the cluster is on its servers until it has all databases, and 'leaving' from before the
-- first database has left it until the last one has. Meanwhile no database is made or dropped, and while one joins no role is changed: whoever
-- does looks here, holding the row of pgherd.cluster that a change of these states holds too.
ALTER TABLE pgherd.shard DROP CONSTRAINT shard_state_check,
    ADD CONSTRAINT shard_state_check CHECK (state IN ('joining', 'active', 'draining', 'leaving', 'removed'));
