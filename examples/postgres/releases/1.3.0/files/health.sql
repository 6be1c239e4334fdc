select (select max(name) from schema_step) = '003-drop-filler'
  and (select count(*) from pgbench_branches) = (select count(distinct bid) from pgbench_tellers);
