# Background jobs beside those of roles that are in the way: what one role does to itself must not stop the jobs of others.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PgmlTest;

my $node = new_server('jobs_of_others');
$node->append_conf('postgresql.conf', "max_worker_processes = 6\npgml_auto.max_jobs = 1");
$node->restart;
create_small_table($node);
create_slow_table($node);
$node->safe_psql('postgres', q{
	CREATE ROLE reader LOGIN; ALTER ROLE reader SET default_transaction_read_only = on;
	ALTER ROLE reader SET default_transaction_isolation = 'serializable';
	CREATE ROLE eve LOGIN; GRANT SELECT ON points, slow TO reader, eve});

sub queue
{
	my ($arguments, $before) = @_;
	return $node->safe_psql('postgres', ($before // '') . "SELECT job FROM automl_train($arguments, background => true)");
}

sub wait_for
{
	my ($job) = @_;
	return $node->safe_psql('postgres', "SELECT automl_wait($job, '60 s')");
}

sub wait_until_true
{
	my ($query) = @_;
	$node->poll_query_until('postgres', $query) or die "not so: $query";
	return;
}

sub wait_until_trains
{
	my ($job) = @_;
	return wait_until_true("SELECT step LIKE 'trial%' FROM pgml_auto.jobs WHERE job = $job");
}

my $small = q{'%s', 'points', 'y', max_trials => 1, algorithms => '{constant}'};
my $slow = q{'%s', 'slow', 'y', max_trials => 1, options => '{"folds": 1}', algorithms => '{gradient_boosting}',
	hyperparams => '{"n_estimators": 50000, "learning_rate": 0.0001, "early_stopping_round": 0}'};

# Settings of a role do not keep its worker from writing.
my $job = queue(sprintf($small, 'readers'), 'SET SESSION AUTHORIZATION reader; SET default_transaction_read_only = off; ');
is(wait_for($job), 'succeeded', 'a role whose transactions are read only and serializable by default');
$node->safe_psql('postgres', 'GRANT eve TO reader; ALTER ROLE reader SET role = eve');
$job = queue(sprintf($small, 'of_reader'), 'SET SESSION AUTHORIZATION reader; SET default_transaction_read_only = off; ');
is(wait_for($job), 'succeeded', 'a role that becomes another one when it logs in');
is($node->safe_psql('postgres', "SELECT owner FROM pgml_auto.model WHERE name = 'of_reader'"), 'reader', 'trains as the one that queued the job');
$node->safe_psql('postgres', 'ALTER ROLE reader RESET role; REVOKE eve FROM reader');

# Whoever manages a model trains it on its owner's data, which the worker reads as the owner: between transactions nothing is to ask who that is.
$job = queue(sprintf($small, 'managed'), 'SET SESSION AUTHORIZATION reader; SET default_transaction_read_only = off; ');
is(wait_for($job), 'succeeded', 'a model');
$node->safe_psql('postgres', q{SELECT automl_grant('managed', 'eve', 'manage')});
$job = queue(q{'managed'}, 'SET SESSION AUTHORIZATION eve; ');
is(wait_for($job), 'succeeded', 'is trained again by a role that manages it');
is($node->safe_psql('postgres', q{SELECT string_agg(identical::text, ' ') FROM generate_series(1, 2) n, automl_reproduce('managed@' || n)}), 'true true',
	'and both of its versions can be repeated');

# A job that cannot start does not stand before those of others.
my $running = queue(sprintf $slow, 'running');
wait_until_trains($running);
my $stuck = queue(sprintf($small, 'stuck'), 'SET SESSION AUTHORIZATION eve; ');
my $next = queue(sprintf $small, 'next');
is($node->safe_psql('postgres', 'SELECT automl_run_due() FROM generate_series(1, 3)'), "0\n0\n0", 'no worker is started while all slots are taken');
$node->safe_psql('postgres', 'REVOKE CONNECT ON DATABASE postgres FROM PUBLIC; GRANT CONNECT ON DATABASE postgres TO reader');
my ($code, $out, $error) = $node->psql('postgres', "SET ROLE eve; SELECT * FROM automl_train(@{[sprintf $small, 'far']}, background => true)");
like($error, qr/role "eve" may not connect to database "postgres"/, 'a role that may not connect is told at once');
is($node->safe_psql('postgres', "SELECT pgml_auto.job_is_alive((65535::bigint << 32) | 1)"), 'f', 'slots are no jobs');

# Cancelled again while the end is written down.
my $holder = $node->background_psql('postgres');
$holder->query_safe("BEGIN; SELECT 1 FROM pgml_auto.job_queue WHERE job_id = $running FOR UPDATE");
$node->safe_psql('postgres', "SELECT automl_cancel($running)");
my $worker = "FROM pg_stat_activity WHERE backend_type = 'pgml_auto job'";
wait_until_true("SELECT wait_event_type = 'Lock' $worker");
$node->safe_psql('postgres', "SELECT automl_cancel($running)");
$holder->query_safe('COMMIT');
$holder->quit;
is(wait_for($running), 'cancelled', 'cancelled twice');
is(wait_for($next), 'succeeded', 'the next job runs');
is($node->safe_psql('postgres', "SELECT state, sqlstate, error FROM pgml_auto.jobs WHERE job = $stuck"),
	'failed|42501|role "eve" may not connect to database "postgres"', 'a job of a role that may not connect any more fails');

# A worker reads the configuration again.
$running = queue(sprintf $slow, 'running');
wait_until_trains($running);
my @both = map { queue(sprintf $slow, $_) } 'a', 'b';
$node->append_conf('postgresql.conf', 'pgml_auto.max_jobs = 2');
$node->reload;
$node->safe_psql('postgres', "SELECT automl_cancel($running)");
wait_until_true("SELECT count(*) = 2 FROM pgml_auto.jobs WHERE state = 'running' AND job IN ($both[0], $both[1])");
pass('max_jobs is raised while a job runs');
$node->safe_psql('postgres', "SELECT automl_cancel($_)") foreach @both;
wait_for($_) foreach @both;

# A second training of one model waits in the queue, and not in a slot.
$running = queue(sprintf $slow, 'twin');
wait_until_trains($running);
my $second = queue(sprintf $slow, 'twin');
is(wait_for(queue(sprintf $small, 'beside')), 'succeeded', 'beside two trainings of one model there is a slot');
is($node->safe_psql('postgres', "SELECT state FROM pgml_auto.jobs WHERE job = $second"), 'queued', 'as the second waits');
$node->safe_psql('postgres', "SELECT automl_cancel($running)");
wait_until_trains($second);
pass('until the first has ended');
$node->safe_psql('postgres', "SELECT automl_cancel($second)");
wait_for($second);

# Roles take turns, and none fills the queue for all; a worker that is terminated is followed by the next one.
$node->append_conf('postgresql.conf', "pgml_auto.max_jobs = 1\npgml_auto.max_queued_jobs_per_role = 3");
$node->reload;
$running = queue(sprintf $slow, 'running');
wait_until_trains($running);
my @many = map { queue(sprintf $small, "many_$_") } 1, 2;
my $one = queue(sprintf($small, 'one_of_reader'), 'SET SESSION AUTHORIZATION reader; SET default_transaction_read_only = off; ');
($code, $out, $error) = $node->psql('postgres', "SELECT * FROM automl_train(@{[sprintf $small, 'far']}, background => true)");
like($error, qr/3 jobs of role "postgres" are not done yet/, 'the queue is bounded for each role');
my $late = $node->background_psql('postgres');
$late->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM pgml_auto.jobs LIMIT 1');
my $newer = queue(sprintf($small, 'newer'), 'SET SESSION AUTHORIZATION reader; SET default_transaction_read_only = off; ');
is($late->query_safe("SELECT automl_cancel($newer)"), 't', 'a job newer than the snapshot is cancelled');
$late->query_safe('COMMIT');
$late->quit;
is($node->safe_psql('postgres', "SELECT state FROM pgml_auto.jobs WHERE job = $newer"), 'cancelled', 'and stays so');
# The workers that were started for the queued jobs at once must have found no slot: a late one would find that of the terminated worker.
wait_until_true("SELECT count(*) = 1 $worker");
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid, 60000) FROM pgml_auto.jobs WHERE job = $running");
is(wait_for($_), 'succeeded', 'after a terminated worker the others run') foreach @many, $one;
is($node->safe_psql('postgres', "SELECT array_agg(job ORDER BY started_at) = ARRAY[$one, $many[0], $many[1]]::bigint[] FROM pgml_auto.jobs WHERE job IN ($many[0], $many[1], $one)"),
	't', 'who was served longer ago is first');
$node->append_conf('postgresql.conf', 'pgml_auto.max_queued_jobs_per_role = 25');
$node->reload;

# Who keeps a transaction open that cancels a job does not hold up others.
$running = queue(sprintf $slow, 'running');
wait_until_trains($running);
my $held = queue(sprintf $small, 'held');
$next = queue(sprintf $small, 'next');
$holder = $node->background_psql('postgres');
$holder->query_safe("BEGIN; SELECT automl_cancel($held)");
$node->safe_psql('postgres', "SELECT automl_cancel($running)");
is(wait_for($running), 'cancelled', 'the job before them');
is($node->safe_psql('postgres', 'SELECT automl_run_due() >= 0'), 't', 'a look does not wait');
is(wait_for($next), 'succeeded', 'nor does the job behind the one that is held');
$holder->query_safe('ROLLBACK');
$holder->quit;
$node->safe_psql('postgres', 'SELECT automl_run_due()');
is(wait_for($held), 'succeeded', 'which runs in the end');

# The best score so far is seen.
$running = queue(q{'best', 'slow', 'y', time_budget => '300 s', algorithms => '{linear,gradient_boosting}'});
wait_until_true("SELECT best_score > 0 AND memory_bytes > 0 AND now() - seen_at < interval '30 s' FROM pgml_auto.jobs WHERE job = $running");
pass('the best score is seen while the search goes on');
$node->safe_psql('postgres', "SELECT automl_cancel($running)");
wait_for($running);

# Jobs are of roles, whatever they are called later.
$node->safe_psql('postgres', 'ALTER ROLE reader RENAME TO author; CREATE ROLE reader LOGIN; GRANT CONNECT ON DATABASE postgres TO reader');
is($node->safe_psql('postgres', 'SELECT count(*) FROM pgml_auto.jobs', extra_params => [ '-U', 'reader' ]), 0, 'a new role of the name sees nothing');
is($node->safe_psql('postgres', q{SELECT role, model FROM pgml_auto.jobs WHERE model LIKE '%reader%' ORDER BY job}, extra_params => [ '-U', 'author' ]), "author|readers\nauthor|of_reader\nauthor|one_of_reader", 'the renamed one its jobs');

# To wait for what starts at COMMIT would be for ever.
($code, $out, $error) = $node->psql('postgres', "BEGIN; SELECT automl_wait(job) FROM automl_train(@{[sprintf $small, 'own']}, background => true)");
like($error, qr/starts when the transaction that queued it is committed/, 'automl_wait in the transaction that queued the job');

# What crashes the server again and again is not started for ever, and ended jobs are not kept for ever.
$node->safe_psql('postgres', q{
	INSERT INTO pgml_auto.job_queue (state, role_oid, role, model, arguments, session, resume, attempts, database_oid)
	SELECT 'running', 10, 'postgres', 'poison', '{}', '{}', true, 3, oid FROM pg_database WHERE datname = current_database();
	INSERT INTO pgml_auto.job_queue (state, role_oid, role, model, arguments, session, resume, ended_at, database_oid)
	SELECT 'succeeded', 10, 'postgres', 'old', '{}', '{}', false, now() - interval '31 days', oid FROM pg_database WHERE datname = current_database()});
is($node->safe_psql('postgres', 'SELECT automl_run_due()'), 0, 'nothing to start');
is($node->safe_psql('postgres', q{SELECT model, state, ended_at IS NOT NULL FROM pgml_auto.job_queue WHERE model IN ('poison', 'old')}), 'poison|interrupted|t',
	'three attempts, thirty days');
is(registry_problems($node), '', 'the registry is whole');

# Jobs that wait are not those of a copy of the database.
$node->append_conf('postgresql.conf', 'max_worker_processes = 1');
$node->restart;
$job = $node->safe_psql('postgres', "SET client_min_messages = error; SELECT job FROM automl_train(@{[sprintf $small, 'once']}, background => true)");
$node->safe_psql('template1', 'CREATE DATABASE copy TEMPLATE postgres');
$node->append_conf('postgresql.conf', 'max_worker_processes = 6');
$node->restart;
is($node->safe_psql('copy', 'SELECT automl_run_due()'), 0, 'a copy of the database begins nothing');
is($node->safe_psql('copy', "SELECT state FROM pgml_auto.jobs WHERE job = $job"), 'interrupted', 'and says so');
is($node->safe_psql('postgres', 'SELECT automl_run_due()'), 1, 'the database itself does');
is(wait_for($job), 'succeeded', 'its job');

done_testing();
