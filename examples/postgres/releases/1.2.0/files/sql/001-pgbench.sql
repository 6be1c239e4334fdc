-- The tables of pgbench, and a role for those who use them.
create table pgbench_branches (bid int not null, bbalance int, filler char(88))
  with (fillfactor = 100);
create table pgbench_tellers (tid int not null, bid int, tbalance int, filler char(84))
  with (fillfactor = 100);
create table pgbench_accounts (aid int not null, bid int, abalance int, filler char(84))
  with (fillfactor = 100);
create table pgbench_history (
  tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));

insert into pgbench_branches select bid, 0, '' from generate_series(1, :scale) bid;
insert into pgbench_tellers
  select tid, (tid - 1) / 10 + 1, 0, '' from generate_series(1, :scale * 10) tid;
insert into pgbench_accounts
  select aid, (aid - 1) / 100000 + 1, 0, '' from generate_series(1, :scale * 100000) aid;

alter table pgbench_branches add primary key (bid);
alter table pgbench_tellers add primary key (tid);
alter table pgbench_accounts add primary key (aid);

create role app login;
grant select, insert, update, delete on all tables in schema public to app;
