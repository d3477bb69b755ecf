# Trainings in the background: when they start, as whom, how they end, and what is left of them when they do not.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PgmlTest;

my $node = new_server('jobs');
$node->append_conf('postgresql.conf', "restart_after_crash = on\nmax_worker_processes = 5\npgml_auto.max_jobs = 2");
$node->restart;
create_small_table($node);
create_slow_table($node);

# Queue a training; its number.
sub queue
{
	my ($arguments, %options) = @_;
	return $node->safe_psql($options{database} // 'postgres', ($options{before} // '') . "SELECT job FROM automl_train($arguments, background => true)",
		extra_params => $options{user} ? [ '-U', $options{user} ] : []);
}

sub wait_for
{
	my ($job, $database) = @_;
	return $node->safe_psql($database // 'postgres', "SELECT automl_wait($job, '300 s')");
}

# A column of a job's row.
sub job_is
{
	my ($job, $columns) = @_;
	return $node->safe_psql('postgres', "SELECT $columns FROM pgml_auto.jobs WHERE job = $job");
}

my $small = q{'%s', 'points', 'y', max_trials => 1};
my $boosting = q{'%s', 'slow', 'y', max_trials => 1, options => '{"folds": 1}', algorithms => '{gradient_boosting}',
	hyperparams => '{"n_estimators": %d, "learning_rate": 0.0001, "early_stopping_round": 0}'};
my $slow = sprintf $boosting, '%s', 50000;

# Wait until a query says t.
sub wait_until_true
{
	my ($query) = @_;
	$node->poll_query_until('postgres', $query) or die "not so: $query";
	return;
}

# From the queue to the model.
my $job = queue(sprintf $small, 'first');
is(wait_for($job), 'succeeded', 'a job succeeds');
is(job_is($job, 'state, version, attempts, pid IS NULL, ended_at >= started_at AND started_at >= queued_at, error IS NULL'),
	'succeeded|1|1|t|t|t', 'its row says so');
is($node->safe_psql('postgres', q{SELECT name, owner, deployed FROM pgml_auto.model}), 'first|postgres|1', 'its model is deployed');
is(wait_for(queue(q{'first'})), 'succeeded', 'a stored source is trained again');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pgml_auto.version}), 2, 'as a new version');

# It starts at COMMIT and not without one.
is($node->safe_psql('postgres', qq{
	BEGIN; SELECT job FROM automl_train(@{[sprintf $small, 'never']}, background => true); ROLLBACK;
	SELECT count(*) FROM pgml_auto.jobs WHERE model = 'never'}) =~ s/^\d+\n//r, 0, 'rolled back, nothing is queued');
is($node->safe_psql('postgres', qq{
	BEGIN; SAVEPOINT a; SELECT 1 FROM automl_train(@{[sprintf $small, 'never']}, background => true); ROLLBACK TO a;
	SELECT 1 FROM automl_train(@{[sprintf $small, 'second']}, background => true);
	SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pgml_auto job'; COMMIT;
	SELECT automl_wait(max(job)) FROM pgml_auto.jobs;
	SELECT string_agg(model, ', ') FROM pgml_auto.jobs WHERE model IN ('never', 'second')}),
	"1\n1\n0\nsucceeded\nsecond", 'a savepoint takes its job back, COMMIT starts the other');
my ($code, $out, $error) = $node->psql('postgres', qq{
	BEGIN; SELECT 1 FROM automl_train(@{[sprintf $small, 'never']}, background => true); PREPARE TRANSACTION 'x'});
like($error, qr/cannot prepare a transaction that has queued a job/, 'no two-phase commit');

# Arguments are checked at once, data by the worker.
($code, $out, $error) = $node->psql('postgres', q{SELECT * FROM automl_train('bad', 'points', 'y', metric => 'nonsense', background => true)});
like($error, qr/unrecognized metric 'nonsense'/, 'impossible arguments are not queued');
$node->safe_psql('postgres', 'CREATE TABLE gone AS TABLE points');
$job = queue(q{'bad', 'gone', 'z'});
is(wait_for($job), 'failed', 'a job fails');
is(job_is($job, 'sqlstate, error, hint'), '42703|column "z", given as target, does not exist in the data|Its columns: "x", "y".', 'its error is kept');
($code, $out, $error) = $node->psql('postgres', q{CREATE TEMP TABLE mine AS TABLE points; SELECT * FROM automl_train('t', 'mine', 'y', background => true)});
like($error, qr/cannot train on a temporary table in the background/, 'temporary tables are refused');
is(registry_problems($node), '', 'the registry is whole');

# As the role that queued it, with its rights and settings.
$node->safe_psql('postgres', q{
	CREATE ROLE ann LOGIN; CREATE ROLE bob LOGIN; CREATE ROLE group_of_ann NOLOGIN; GRANT group_of_ann TO ann;
	CREATE SCHEMA ann AUTHORIZATION ann; GRANT USAGE ON SCHEMA ann TO bob; CREATE TABLE ann.days AS SELECT i AS x, i * 2 AS y, '2026-01-01 23:00+00'::timestamptz + i * interval '1 day' AS at
		FROM generate_series(1, 200) i; ALTER TABLE ann.days OWNER TO ann});
$job = queue(q{'days', 'days', 'y', max_trials => 1, algorithms => '{constant}'}, user => 'ann', before => 'SET search_path = ann, public; ');
is(wait_for($job), 'succeeded', 'search_path is that of the session');
is($node->safe_psql('postgres', q{SELECT owner FROM pgml_auto.model WHERE name = 'days'}), 'ann', 'the model belongs to the role');
$job = queue(q{'stolen', 'ann.days', 'y', max_trials => 1}, user => 'bob');
is(wait_for($job), 'failed', 'without the rights to the data');
is(job_is($job, 'role, sqlstate'), 'bob|42501', 'a job fails');
is($node->safe_psql('postgres', 'SELECT count(*) FROM pgml_auto.jobs', extra_params => [ '-U', 'ann' ]), 1, 'jobs of others are not seen');
($code, $out, $error) = $node->psql('postgres', "SELECT automl_cancel($job)", extra_params => [ '-U', 'ann' ]);
like($error, qr/permission denied for job/, 'nor cancelled');
($code, $out, $error) = $node->psql('postgres', 'SELECT automl_wait(99999)');
like($error, qr/there is no job 99999/, 'nor waited for');
SKIP:
{
	skip 'workers can be of roles that cannot log in', 1 if $node->pg_version >= 17;
	($code, $out, $error) = $node->psql('postgres', qq{SET ROLE group_of_ann; SELECT * FROM automl_train(@{[sprintf $small, 'g']}, background => true)});
	like($error, qr/role "group_of_ann" cannot log in/, 'a role that cannot log in is told at once');
}

# What runs is seen, holds no snapshot, and can be cancelled; two run at once, the third waits.
my @jobs = map { queue(sprintf $slow, "slow_$_") } 1 .. 3;
wait_until_true("SELECT count(*) = 2 FROM pgml_auto.jobs WHERE state = 'running' AND step LIKE 'trial%'");
is($node->safe_psql('postgres', q{SELECT count(*), count(backend_xmin), count(xact_start) FROM pg_stat_activity WHERE backend_type = 'pgml_auto job'}),
	'2|0|0', 'no transaction while it computes');
is(job_is($jobs[2], 'state'), 'queued', 'the third waits');
is($node->safe_psql('postgres', "SELECT automl_wait($jobs[2], '1 ms')"), 'queued', 'automl_wait has a timeout');
is($node->safe_psql('postgres', "SELECT automl_cancel($jobs[0])"), 't', 'cancel');
is(wait_for($jobs[0]), 'cancelled', 'a running job');
wait_until_true("SELECT state = 'running' FROM pgml_auto.jobs WHERE job = $jobs[2]");
pass('the third takes its place');
my $fourth = queue(sprintf $slow, 'slow_4');
is($node->safe_psql('postgres', "SELECT automl_cancel($fourth)"), 't', 'cancel');
is(wait_for($fourth), 'cancelled', 'a waiting job');
is($node->safe_psql('postgres', "SELECT automl_cancel($fourth)"), 'f', 'once');

# A worker that is terminated leaves an interrupted job.
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid, 60000) FROM pgml_auto.jobs WHERE job = $jobs[1]");
is(wait_for($jobs[1]), 'interrupted', 'terminated');

# Tables are read by then: they may change, the role may not.
wait_until_true("SELECT step LIKE 'trial%' FROM pgml_auto.jobs WHERE job = $jobs[2]");
$node->safe_psql('postgres', 'ALTER TABLE slow RENAME TO slower; DROP TABLE gone');
is(job_is($jobs[2], 'state'), 'running', 'a table can be altered meanwhile');
$node->safe_psql('postgres', "ALTER TABLE slower RENAME TO slow; SELECT automl_cancel($jobs[2])");
wait_for($jobs[2]);
$node->safe_psql('postgres', 'CREATE ROLE carl LOGIN; GRANT SELECT ON slow TO carl');
$job = queue(sprintf($boosting, 'carls', 800), user => 'carl');
wait_until_true("SELECT step LIKE 'trial%' FROM pgml_auto.jobs WHERE job = $job");
$node->safe_psql('postgres', 'DROP OWNED BY carl; DROP ROLE carl');
wait_until_true("SELECT state NOT IN ('running', 'queued') FROM pgml_auto.job_queue WHERE job_id = $job");
is($node->safe_psql('postgres', "SELECT state, error FROM pgml_auto.job_queue WHERE job_id = $job"), 'failed|role "carl" no longer exists', 'a job whose role is dropped fails');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pgml_auto.models WHERE name = 'carls'}), 0, 'and leaves nothing');
# The same while it waits for another training of the name.
$node->safe_psql('postgres', 'CREATE ROLE carol LOGIN; GRANT SELECT ON slow TO carol');
my $holder = $node->background_psql('postgres');
$holder->query_safe(qq{BEGIN; SELECT version FROM automl_train(@{[sprintf $small, 'held']})});
$job = queue(sprintf($boosting, 'held', 800), user => 'carol');
wait_until_true("SELECT wait_event_type = 'Lock' FROM pg_stat_activity JOIN pgml_auto.jobs USING (pid) WHERE job = $job");
$node->safe_psql('postgres', 'DROP OWNED BY carol; DROP ROLE carol');
$holder->query_safe('ROLLBACK');
$holder->quit;
wait_until_true("SELECT state NOT IN ('running', 'queued') FROM pgml_auto.job_queue WHERE job_id = $job");
is($node->safe_psql('postgres', "SELECT state, sqlstate, error FROM pgml_auto.job_queue WHERE job_id = $job"), 'failed|42704|role "carol" no longer exists',
	'before it has begun');

# The queue is bounded, and so are the server's workers.
$node->append_conf('postgresql.conf', 'pgml_auto.max_queued_jobs = 1');
$node->restart;
$job = queue(sprintf $slow, 'slow_5');
($code, $out, $error) = $node->psql('postgres', qq{SELECT * FROM automl_train(@{[sprintf $small, 'full']}, background => true)});
like($error, qr/1 jobs of this database are not done yet/, 'a full queue');
$node->append_conf('postgresql.conf', 'pgml_auto.max_queued_jobs = 9');
$node->reload;

# A crash: what ran is interrupted, and queued again where that was asked for; what waits still does.
my $resumed = queue(sprintf($boosting, 'again', 800) . ', resume => true');
wait_until_true("SELECT count(*) = 2 FROM pgml_auto.jobs WHERE state = 'running' AND step LIKE 'trial%'");
my $waiting = queue(sprintf $small, 'waiting');
my $pid = job_is($job, 'pid');
my $log = -s $node->logfile;
kill 'KILL', $pid;
$node->wait_for_log(qr/database system is ready to accept connections/, $log);
$node->poll_query_until('postgres', "SELECT count(*) = 2 FROM pgml_auto.jobs WHERE state = 'interrupted' AND job IN ($job, $resumed)")
  or die 'the server did not come back';
is(job_is($waiting, 'state'), 'queued', 'after a crash the queue is there');
is($node->safe_psql('postgres', 'SELECT automl_run_due()'), 2, 'and is taken up again');
is(wait_for($_), 'succeeded', 'a job of before the crash') foreach $resumed, $waiting;
is(job_is($resumed, 'attempts'), 2, 'at the second attempt');
is(job_is($job, 'state'), 'interrupted', 'the other one stays interrupted');
is(registry_problems($node), '', 'the registry is whole');

# DROP DATABASE and DROP EXTENSION with jobs that run.
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION pgml_auto; CREATE TABLE slow AS SELECT i AS x, i % 7 AS z, i % 2 AS y FROM generate_series(1, 20000) i');
$job = queue(sprintf($slow, 'other'), database => 'other');
$node->poll_query_until('other', "SELECT step LIKE 'trial%' FROM pgml_auto.jobs WHERE job = $job") or die;
($code, $out, $error) = $node->psql('postgres', 'DROP DATABASE other');
like($error, qr/is being accessed by other users/, 'DROP DATABASE says who is in the way');
$node->safe_psql('other', 'DROP EXTENSION pgml_auto');
pass('DROP EXTENSION does not wait for it');
$node->safe_psql('postgres', 'DROP DATABASE other WITH (FORCE)');
pass('DROP DATABASE WITH (FORCE) ends it');

# No worker to spare: the job waits until it is asked for again.
$node->append_conf('postgresql.conf', "max_worker_processes = 1\nmax_logical_replication_workers = 1\nclient_min_messages = warning");
$node->restart;
($code, $out, $error) = $node->psql('postgres', qq{SELECT job FROM automl_train(@{[sprintf $small, 'late']}, background => true)});
like($error, qr/no background worker is free for the job, which stays queued/, 'no worker');
is(job_is($out, 'state'), 'queued', 'the job is queued');
$node->append_conf('postgresql.conf', 'max_worker_processes = 5');
$node->restart;
is($node->safe_psql('postgres', 'SELECT automl_run_due()'), 1, 'until automl_run_due()');
is(wait_for($out), 'succeeded', 'runs it');

done_testing();
