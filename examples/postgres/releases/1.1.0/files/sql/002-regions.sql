-- Release 1.0.0 reads and writes on: it does not know the new column.
alter table pgbench_tellers add column region smallint;
update pgbench_tellers set region = tid % 8;
alter table pgbench_accounts add column region smallint;
update pgbench_accounts set region = aid % 8 where aid % 10 = 0;
create index on pgbench_accounts (bid);
