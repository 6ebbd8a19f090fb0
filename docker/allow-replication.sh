#!/bin/sh
# Replicas log in without a password on the compose network.
echo 'host replication all all trust' >> "$PGDATA/pg_hba.conf"
