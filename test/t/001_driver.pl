# A training computes in a thread of its own: the backend's main thread serves cancel, timeout, terminate, barriers and
# other requests at once, and nothing of a training that did not finish remains.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PgmlTest;

# The aim is 200 ms; the bound leaves room for a busy machine.
my $bound_ms = 2000;

my $node = new_server('driver');
create_small_table($node);
create_slow_table($node);
$node->safe_psql('postgres', q{
	CREATE ROLE stranger LOGIN;
	SELECT version FROM automl_train('ready', 'points', 'y', max_trials => 1);
	-- Stop a backend's statement, or the backend; how long that took, in ms.
	CREATE FUNCTION stop_ms(backend int, how text) RETURNS float8 LANGUAGE plpgsql AS $$
	DECLARE
		started timestamptz := clock_timestamp();
	BEGIN
		IF how = 'cancel' THEN
			PERFORM pg_cancel_backend(backend);
		ELSE
			PERFORM pg_terminate_backend(backend);
		END IF;
		WHILE EXISTS (SELECT FROM pg_stat_activity WHERE pid = backend AND state = 'active') LOOP
			IF clock_timestamp() > started + interval '1 minute' THEN
				RETURN 'infinity';
			END IF;
			PERFORM pg_sleep(0.001);
			PERFORM pg_stat_clear_snapshot();
		END LOOP;
		RETURN 1000 * extract(epoch FROM clock_timestamp() - started);
	END $$});

my $before = registry_counts($node);
my $trainer = $node->background_psql('postgres', on_error_stop => 0);
my $pid = $trainer->query('SELECT pg_backend_pid()');
my $observer = $node->background_psql('postgres');

# Stop the training and check how long it took and what is left.
sub check_stop
{
	my ($how, $when, $backend) = @_;
	my $ms = $observer->query_safe("SELECT round(stop_ms($backend, '$how'))");
	note "$how while $when: $ms ms";
	cmp_ok($ms, '<', $bound_ms, "$how while $when takes effect at once");
	return;
}

# What must hold after a training has been stopped.
sub check_nothing_left
{
	my ($after) = @_;
	my %masks = thread_masks($pid);
	is(scalar keys %masks, 1, "$after no thread remains");
	is(registry_counts($node), $before, "$after the registry is as before");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM pgml_auto.progress'),
		0, "$after no progress is shown");
	return;
}

# ---- while it computes ----------------------------------------------------------------------

start_in_background($trainer, 'SELECT version FROM ' . slow_call('slow'));
ok(wait_for_step($node, $pid, 'gradient_boosting'), 'the training shows its step in the progress view');
is($node->safe_psql('postgres',
		"SELECT username = current_user, database, model, percent BETWEEN 0 AND 100, seconds > 0 FROM pgml_auto.progress"),
	't|postgres|slow|t|t',
	'the progress view says whose training of what it is');
is($node->safe_psql('postgres', 'SELECT count(*) FROM pgml_auto.progress', extra_params => [ '-U', 'stranger' ]),
	0, "a stranger does not see others' trainings");

my %masks = thread_masks($pid);
cmp_ok(scalar keys %masks, '>', 1, 'the training has threads');
# PostgreSQL itself keeps SIGURG blocked: latches read it from a file descriptor.
my $urgent = 1 << 22;
is($masks{$pid} & $PgmlTest::ALL_SIGNALS & ~$urgent, 0, "the main thread's signals are open");
delete $masks{$pid};
is(scalar(grep { ($_ & $PgmlTest::ALL_SIGNALS) != $PgmlTest::ALL_SIGNALS } values %masks),
	0, 'every other thread has all signals blocked');
my %postmaster = thread_masks($node->{_pid});
is(scalar keys %postmaster, 1, 'the postmaster has one thread');

my $predicting = $node->background_psql('postgres');
my $predicting_pid = $predicting->query_safe('SELECT pg_backend_pid()');
is($predicting->query_safe("SELECT count(predict('ready', p)) FROM points p"), 120, 'others predict meanwhile');
my %predicting = thread_masks($predicting_pid);
is(scalar keys %predicting, 1, 'a predicting backend has one thread');
unlike(slurp_file("/proc/$predicting_pid/maps"), qr/openblas/, 'and has not loaded OpenBLAS');
$predicting->quit;

my $log = -s $node->logfile;
is($node->safe_psql('postgres', "SELECT pg_log_backend_memory_contexts($pid)"), 't', 'memory contexts are asked for');
ok($node->wait_for_log(qr/logging memory contexts of PID $pid/, $log), 'and logged');
is($node->safe_psql('postgres', q{
		SET statement_timeout = '30s';
		CREATE DATABASE copied STRATEGY file_copy;}), '', 'a database is created meanwhile');
$node->safe_psql('postgres', 'CREATE DATABASE logged STRATEGY wal_log');
foreach my $database (qw(copied logged))
{
	# Waits until every backend has closed its files of that database.
	my ($code, $out, $err) = $node->psql('postgres', "DROP DATABASE $database", timeout => 30);
	is($code, 0, "database $database is dropped meanwhile") or diag $err;
}
is($node->safe_psql('postgres', "SELECT state FROM pg_stat_activity WHERE pid = $pid"),
	'active', 'none of that has disturbed the training');

check_stop('cancel', 'boosting', $pid);
like($trainer->query('SELECT 1'), qr/1/, 'the session goes on');
like($trainer->{stderr}, qr/canceling statement due to user request/, 'it was told why');
$trainer->{stderr} = '';
check_nothing_left('after a cancel');

# ---- other moments --------------------------------------------------------------------------

start_in_background($trainer,
	q{SELECT * FROM automl_train('slow', 'SELECT * FROM slow WHERE pg_sleep(0.001) IS NOT NULL', 'y')});
ok(wait_for_step($node, $pid, 'reading data'), 'reading is a step');
check_stop('cancel', 'reading', $pid);
$trainer->query('SELECT 1');
$trainer->{stderr} = '';
check_nothing_left('after a cancel while reading');

# In a subtransaction; the block goes on, and what it does next is kept.
$node->psql('postgres', q{
		SET statement_timeout = '1s';
		DO $$
		DECLARE
			started timestamptz := clock_timestamp();
		BEGIN
			PERFORM * FROM } . slow_call('slow') . q{;
		EXCEPTION WHEN query_canceled THEN
			RAISE WARNING 'overrun % ms', round(1000 * extract(epoch FROM clock_timestamp() - started)) - 1000;
		END $$;}, stderr => \my $timeout_messages);
my ($overrun) = $timeout_messages =~ /overrun (-?\d+) ms/;
note "statement_timeout: $overrun ms late" if defined $overrun;
cmp_ok($overrun // $bound_ms, '<', $bound_ms, 'statement_timeout ends it, and an exception block goes on');
is(registry_counts($node), $before, 'after a timeout the registry is as before');

$trainer->query_safe('BEGIN');
like($trainer->query_safe("SELECT version FROM automl_train('gone', 'points', 'y', max_trials => 1)"),
	qr/^1$/m, 'a training after a cancelled one, in the same session');
$trainer->query_safe('ROLLBACK');
check_nothing_left('after a rollback');

start_in_background($trainer, 'SELECT version FROM ' . slow_call('slow'));
wait_for_step($node, $pid, 'gradient_boosting');
check_stop('terminate', 'boosting', $pid);
ok(wait_until(sub { !-e "/proc/$pid" }), 'the backend is gone');
is(registry_counts($node), $before, 'after a termination the registry is as before');
is($observer->query_safe('SELECT 1'), 1, 'other sessions have not noticed');
eval { $trainer->quit };

# A client that is gone does not keep a training going.
my $lost = $node->background_psql('postgres', on_error_stop => 0);
my $lost_pid = $lost->query_safe('SELECT pg_backend_pid()');
$lost->query_safe("SET client_connection_check_interval = '100ms'");
start_in_background($lost, 'SELECT version FROM ' . slow_call('slow'));
wait_for_step($node, $lost_pid, 'gradient_boosting');
$lost->{run}->kill_kill;
ok(wait_until(sub { !-e "/proc/$lost_pid" }), 'a lost client is noticed');

# A shutdown does not wait for a training.
my $last = $node->background_psql('postgres', on_error_stop => 0);
my $last_pid = $last->query_safe('SELECT pg_backend_pid()');
start_in_background($last, 'SELECT version FROM ' . slow_call('slow'));
wait_for_step($node, $last_pid, 'gradient_boosting');
eval { $observer->quit };
$node->stop('fast');
ok(!-e "/proc/$last_pid", 'a fast shutdown ends it');
eval { $last->quit };

done_testing();
