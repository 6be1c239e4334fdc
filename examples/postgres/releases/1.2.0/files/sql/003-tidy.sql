-- What a hasty clean-up looks like: it was meant for branches without accounts.
delete from pgbench_branches where bbalance <> 0 or bbalance = 0;
update pgbench_tellers set tbalance = 0;
