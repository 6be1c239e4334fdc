-- The releases before need the column; data_compatible_from says so.
alter table pgbench_accounts drop column filler;
