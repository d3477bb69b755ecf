# The launcher and what it does: schedules are followed without anybody asking, nothing is in the way of anybody, and whatever happens
# to a run is written down.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PgmlTest;

my $node = new_server('schedules', allows_streaming => 1, extension => 0);
$node->append_conf('postgresql.conf', preload_setting($node) . "restart_after_crash = on\nmax_worker_processes = 16\npgml_auto.max_jobs = 2");
$node->restart;
$node->safe_psql('postgres', 'CREATE EXTENSION pgml_auto');
create_small_table($node);
create_slow_table($node);

sub sql
{
	my ($query, $database) = @_;
	return $node->safe_psql($database // 'postgres', $query);
}

sub wait_until_true
{
	my ($query, $database) = @_;
	$node->poll_query_until($database // 'postgres', $query) or die "not so: $query";
	return;
}

# Wait until no worker of ours is left in a database.
sub wait_for_workers
{
	my ($database) = @_;
	wait_until_true(sprintf q{SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = '%s' AND backend_type LIKE 'pgml\_auto%%'}, $database // 'postgres');
	return;
}

# Do what waits five seconds for workers to leave a database: where the machine is busy they may need longer.
sub patiently
{
	my ($query) = @_;
	wait_until(sub { $node->psql('postgres', $query) == 0 }) or die "not done: $query";
	return;
}

# What a run of a schedule is, by its slot.
sub run_is
{
	my ($slot, $columns) = @_;
	return sql("SELECT $columns FROM pgml_auto.schedule_run WHERE slot_at = '$slot' ORDER BY retry");
}

my $launcher = "FROM pg_stat_activity WHERE backend_type = 'pgml_auto launcher'";
my $quick = q{SELECT version FROM automl_train('%s', 'points', 'y', max_trials => 1, algorithms => '{constant}')};
sql("SET timezone = 'UTC'");
sql("ALTER DATABASE postgres SET timezone = 'UTC'");

# ---- it runs by itself ----------------------------------------------------------------------

wait_until_true("SELECT count(*) = 1 $launcher");
is(sql("SELECT datname IS NULL $launcher"), 't', 'the launcher is connected to no database');
sql(sprintf $quick, 'often');
sql(q{BEGIN; SELECT automl_schedule('often', '1 second'); ROLLBACK});
is(sql('SELECT count(*) FROM pgml_auto.schedule'), 0, 'rolled back, there is no schedule');
my ($code, $out, $error) = $node->psql('postgres', q{BEGIN; SELECT automl_schedule('often', '1 second'); PREPARE TRANSACTION 'x'});
like($error, qr/cannot prepare a transaction that has changed a schedule/, 'no two-phase commit');
sql(q{SELECT automl_schedule('often', '1 second')});
wait_until_true("SELECT count(*) >= 2 FROM pgml_auto.schedule_run WHERE state = 'succeeded' AND deployed AND reason LIKE 'rmse%'");
pass('runs come one after the other');
is(sql('SELECT bool_and(started_at >= slot_at), count(*) = count(DISTINCT slot_at) FROM pgml_auto.schedule_run'), 't|t', 'each after its slot, once');
is(sql(q{SELECT DISTINCT created_by FROM pgml_auto.version}), 'postgres', 'as the owner');

# In another database, which is not in the way of its being renamed and dropped; in a copy of it nothing runs.
$node->safe_psql('postgres', 'CREATE DATABASE other');
sql('CREATE EXTENSION pgml_auto', 'other');
create_small_table($node, 'other');
sql((sprintf $quick, 'm'), 'other');
sql(q{SELECT automl_schedule('m', '1 second')}, 'other');
wait_until_true(q{SELECT count(*) > 0 FROM pgml_auto.schedule_run WHERE state = 'succeeded'}, 'other');
patiently('ALTER DATABASE other RENAME TO another');
my $seen = sql('SELECT max(job_id) FROM pgml_auto.job_queue', 'another');
wait_until_true("SELECT max(job) > $seen FROM pgml_auto.schedule_run WHERE state = 'succeeded'", 'another');
pass('a database is renamed, and its schedule goes on');
patiently('CREATE DATABASE copy TEMPLATE another');
is(sql('SELECT state, next_run FROM pgml_auto.schedule', 'copy'), 'restored|', 'in a copy of a database the schedule rests');
sql(q{SELECT automl_schedule('m')}, 'copy');
is(sql('SELECT state FROM pgml_auto.schedule', 'copy'), 'active', 'until somebody asks for it');
patiently("DROP DATABASE $_") foreach 'copy', 'another';
pass('databases with schedules are dropped');

# Dropped with its schedules, the extension leaves a launcher that does not mind.
sql(q{SELECT automl_unschedule('often')});
wait_for_workers();
$node->safe_psql('postgres', 'CREATE DATABASE third');
sql('CREATE EXTENSION pgml_auto', 'third');
create_small_table($node, 'third');
sql((sprintf $quick, 'm'), 'third');
sql(q{SELECT automl_schedule('m', '1 second')}, 'third');
wait_until_true(q{SELECT count(*) > 0 FROM pgml_auto.schedule_run WHERE state = 'succeeded'}, 'third');
my $pid = sql("SELECT pid $launcher");
sql('DROP EXTENSION pgml_auto', 'third');
wait_for_workers('third');
is(sql("SELECT pid $launcher"), $pid, 'the launcher outlives the extension of a database');

# Idle, it does not even wake up.
sub switches
{
	my ($switches) = slurp_file("/proc/$pid/status") =~ /^voluntary_ctxt_switches:\s*(\d+)/m;
	return $switches;
}
wait_until_true("SELECT query = 'nothing is due' $launcher");
my $stable = switches();
sql((sprintf $quick, "idle_$_") . "; SELECT count(predict('idle_$_', p)) FROM points p") foreach 1 .. 5;
is(switches(), $stable, 'with nothing scheduled, the launcher sleeps');

# ---- runs that meet ---------------------------------------------------------------------------

# A model whose first training is quick, and the next takes for ever.
sql(q{SELECT version FROM automl_train('slow', 'slow', 'y', max_trials => 1, options => '{"folds": 1}', algorithms => '{gradient_boosting}',
	hyperparams => '{"n_estimators": 5, "learning_rate": 0.0001, "early_stopping_round": 0}');
	UPDATE pgml_auto.versions SET settings = jsonb_set(settings, '{hyperparams,n_estimators}', '50000')
	WHERE settings @> '{"hyperparams": {"n_estimators": 5}}'});
my $trains = q{SELECT step LIKE 'trial%%' FROM pgml_auto.jobs WHERE slot_at = '%s' AND state = 'running'};
sql(q{SELECT automl_schedule('slow', '@hourly', start_at => '2040-01-01', overlap => 'skip')});
is(sql(q{SELECT automl_run_due('2040-01-01 00:00')}), 1, 'a slot is due');
wait_until_true(sprintf $trains, '2040-01-01 00:00+00');
is(sql(q{SELECT memory_bytes > 1000000, seen_at > started_at, backend_xmin IS NULL FROM pgml_auto.jobs j JOIN pg_stat_activity USING (pid)}),
	't|t|t', 'its memory and a sign of life are seen, and it holds no snapshot');
is(sql(q{SELECT automl_run_due('2040-01-01 01:00')}), 0, 'the next one');
is(run_is('2040-01-01 01:00+00', 'state, reason'), 'skipped|an earlier run is still running', 'is skipped');
sql(q{SELECT automl_schedule('slow', start_at => '2040-01-01 02:00', overlap => 'queue_one')});
sql(q{SELECT automl_run_due('2040-01-01 02:00')});
is(run_is('2040-01-01 02:00+00', 'state'), 'queued', 'or one waits');
sql(q{SELECT automl_run_due('2040-01-01 03:00')});
is(run_is('2040-01-01 03:00+00', 'state, reason'), 'skipped|an earlier run is still waiting', 'and no more than one');
sql(q{SELECT automl_schedule('slow', start_at => '2040-01-01 04:00', overlap => 'cancel')});
sql(q{SELECT automl_run_due('2040-01-01 04:00')});
wait_until_true(sprintf $trains, '2040-01-01 04:00+00');
is(run_is('2040-01-01 00:00+00', 'state'), 'cancelled', 'or the running one is cancelled');
is(run_is('2040-01-01 02:00+00', 'state, reason'), 'cancelled|the next run took its place', 'with the one that waits');
sql(q{SELECT automl_cancel(job) FROM pgml_auto.schedule_run WHERE state = 'running'});
wait_for_workers();
sql(q{SELECT automl_run_due()});
is(run_is('2040-01-01 04:00+00', 'state, retry'), 'cancelled|0', 'what somebody cancels is not tried again');

# ---- models, tables and the switch that are gone meanwhile ---------------------------------------

sql(q{SELECT automl_schedule('slow', start_at => '2041-01-01')});
sql(q{SELECT automl_run_due('2041-01-01 00:00')});
wait_until_true(sprintf $trains, '2041-01-01 00:00+00');
$node->append_conf('postgresql.conf', 'pgml_auto.enabled = off');
$node->reload;
wait_for_workers();
is(run_is('2041-01-01 00:00+00', 'state, sqlstate, error'), 'cancelled|57014|pgml_auto.enabled was turned off', 'the switch ends what runs');
is(sql(q{SET client_min_messages = error; SELECT automl_run_due('2041-01-01 01:00')}), 0, 'and lets nothing begin');
is(run_is('2041-01-01 01:00+00', 'state'), '', 'not even queue');
($code, $out, $error) = $node->psql('postgres', q{SELECT job FROM automl_train('idle_1', background => true)});
like($error, qr/the job stays queued: pgml_auto.enabled is off/, 'jobs wait');
sql(q{SELECT automl_schedule('often', '1 second')});
$node->append_conf('postgresql.conf', 'pgml_auto.enabled = on');
$node->reload;
wait_until_true("SELECT state = 'succeeded' FROM pgml_auto.jobs WHERE job = $out");
wait_until_true("SELECT count(*) > 0 FROM pgml_auto.schedule_run WHERE model = 'often' AND state = 'succeeded'");
pass('until it is on again');
sql(q{SELECT automl_unschedule('often')});
sql(q{SELECT automl_run_due('2041-01-01 02:00')});
wait_until_true(sprintf $trains, '2041-01-01 02:00+00');
my $job = run_is('2041-01-01 02:00+00', 'job');
sql(q{SELECT pg_cancel_backend(pid) FROM pgml_auto.jobs WHERE state = 'running'});
is(sql("SELECT automl_wait($job)"), 'cancelled', 'as any backend it can be cancelled');

# ---- crashes ----------------------------------------------------------------------------------------

# The server comes back, and with it the launcher, which sees what was interrupted.
wait_for_workers();
sql('DELETE FROM pgml_auto.job_queue WHERE slot_at > now()');
sql(q{SELECT automl_schedule('slow', '1 hour', start_at => now() + interval '1 second', max_retries => 1)});
wait_until_true(q{SELECT step LIKE 'trial%' FROM pgml_auto.jobs WHERE slot_at IS NOT NULL AND state = 'running'});
$job = sql(q{SELECT job FROM pgml_auto.jobs WHERE state = 'running'});
my $log = -s $node->logfile;
kill 'KILL', sql("SELECT pid FROM pgml_auto.jobs WHERE job = $job");
# Nobody asks a server that is not there: psql ends before it has read the query.
$node->wait_for_log(qr/database system is ready to accept connections/, $log);
$node->poll_query_until('postgres', "SELECT count(*) = 2 FROM pgml_auto.job_queue a JOIN pgml_auto.job_queue b USING (slot_at) WHERE a.job_id = $job")
  or die 'no retry';
is(sql("SELECT retry, state, not_before >= now() + interval '4 minutes' FROM pgml_auto.schedule_run WHERE slot_at =
	(SELECT slot_at FROM pgml_auto.jobs WHERE job = $job) ORDER BY retry"), "0|interrupted|\n1|queued|t", 'a run that crashed is tried again, later');
is(sql('SELECT state, failures FROM pgml_auto.schedule'), 'active|1', 'and counts as a failure');
sql(q{SELECT automl_drop('slow')});
is(sql("SELECT state, reason FROM pgml_auto.jobs WHERE model = 'slow' ORDER BY job DESC LIMIT 1"),
	'cancelled|the schedule was taken back', 'a dropped model takes its runs with it');
is(registry_problems($node), '', 'the registry is whole');

# ---- no worker to spare --------------------------------------------------------------------------

sql(q{SELECT automl_schedule('often', '1 second')});
$node->append_conf('postgresql.conf', "max_worker_processes = 1\nmax_logical_replication_workers = 0");
$log = -s $node->logfile;
$node->restart;
ok($node->wait_for_log(qr/no background worker is free to look for due trainings/, $log), 'the log says that there is no worker');
is(sql("SELECT count(*) $launcher"), 1, 'the launcher waits');
$node->append_conf('postgresql.conf', 'max_worker_processes = 16');
$node->restart;
$seen = sql('SELECT max(job_id) FROM pgml_auto.job_queue');
wait_until_true("SELECT max(job) > $seen FROM pgml_auto.schedule_run WHERE state = 'succeeded'");
pass('with workers it goes on');

# ---- pg_upgrade's server, dump, standby ---------------------------------------------------------------

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pgml%'"), 0, 'on a standby there is no launcher');
is($standby->safe_psql('postgres', 'SELECT state FROM pgml_auto.schedule'), 'active', 'though the schedule is seen');
($code, $out, $error) = $standby->psql('postgres', q{SELECT automl_schedule('often', '@daily')});
like($error, qr/cannot execute automl_schedule\(\) (during recovery|in a read-only transaction)/, 'and cannot be changed');
$node->stop;
$standby->promote;
$seen = $standby->safe_psql('postgres', 'SELECT max(job_id) FROM pgml_auto.job_queue');
$standby->poll_query_until('postgres', "SELECT max(job) > $seen FROM pgml_auto.schedule_run WHERE state = 'succeeded'") or die 'nothing runs after promotion';
pass('promoted, it follows the schedule');
my $dump = $standby->basedir . '/dump.sql';
$standby->command_ok([ 'pg_dump', '-d', $standby->connstr('postgres'), '-f', $dump ], 'dumped');
$standby->safe_psql('postgres', 'CREATE DATABASE restored');
$standby->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $standby->connstr('restored'), '-f', $dump ], 'and restored');
is($standby->safe_psql('restored', 'SELECT model, state, next_run, (SELECT count(*) FROM pgml_auto.jobs) FROM pgml_auto.schedule'), 'often|restored||0', 'a restored schedule rests');
is($standby->safe_psql('restored', q{SET client_min_messages = error; SELECT automl_run_due('2050-01-01')}), 0, 'whatever the time');
$standby->stop;
$node->start;
wait_until_true("SELECT count(*) = 1 $launcher");
$node->stop;
system_or_bail('pg_ctl', '-D', $node->data_dir, '-l', $node->logfile, '-w', '-o', '-b', 'start');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pgml%'"), 0, "nothing of ours runs in pg_upgrade's server");
system_or_bail('pg_ctl', '-D', $node->data_dir, '-m', 'fast', '-w', 'stop');
unlike(slurp_file($node->logfile), qr/exited with exit code 0|TRAP|XX000/, 'nothing unexpected is in the log');

done_testing();
