-- What pgherd's own settings are where neither the session nor its role or database says anything.
CREATE TABLE pgherd.setting (
    name text PRIMARY KEY,
    value text NOT NULL
);
