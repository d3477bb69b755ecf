# A process that dies in the middle of a training takes nothing with it but that training.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use PgmlTest;

my $rounds = $ENV{CRASH_ROUNDS} || 3;

my $node = new_server('crash');
$node->append_conf('postgresql.conf', 'restart_after_crash = on');
$node->append_conf('postgresql.conf', 'log_min_messages = warning');
$node->reload;
create_small_table($node);
create_slow_table($node);
$node->safe_psql('postgres', q{SELECT version FROM automl_train('kept', 'points', 'y', max_trials => 1)});

my $predict = q{SELECT md5(string_agg(predict_value('kept', p)::text, ',' ORDER BY x, y)) FROM points p};
my $expected = $node->safe_psql('postgres', $predict);

# Start a training in a session that will die; returns the session and its process id.
sub start_doomed
{
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	# Half of a registry is there before the slow part: a version stored in the same transaction.
	start_in_background($session, q{BEGIN;
		SELECT version FROM automl_train('kept', max_trials => 1);
		SELECT automl_rename('kept', 'half');
		SELECT version FROM } . slow_call('half2'));
	return ($session, $pid);
}

# What must hold after a crash.
sub check_recovered
{
	my ($round, $before) = @_;
	ok($node->poll_query_until('postgres', 'SELECT true'), "round $round: the server is back");
	is(registry_counts($node), $before, "round $round: the registry is as before");
	is($node->safe_psql('postgres', $predict), $expected, "round $round: the model predicts the same");
	return;
}

srand(42);
foreach my $round (1 .. $rounds)
{
	my $before = registry_counts($node);
	my ($session, $pid) = start_doomed();
	wait_for_step($node, $pid, $round % 2 ? 'gradient_boosting' : '.');
	usleep(int(rand(300_000)));
	kill 'KILL', $pid;
	ok(wait_until(sub { !-e "/proc/$pid" }), "round $round: the backend is killed");
	eval { $session->quit };
	check_recovered($round, $before);
}

# Training goes on from there.
is($node->safe_psql('postgres', q{SELECT version FROM automl_train('kept', max_trials => 1)}), 2, 'no version number is lost');

# The postmaster dies: its training backend notices and leaves.
my $before = registry_counts($node);
my ($session, $pid) = start_doomed();
wait_for_step($node, $pid, 'gradient_boosting');
$node->kill9;
ok(wait_until(sub { !-e "/proc/$pid" }), 'a training does not outlive the postmaster');
eval { $session->quit };
$node->start;
check_recovered('postmaster', $before);

# An immediate shutdown is a crash for whoever works.
($session, $pid) = start_doomed();
wait_for_step($node, $pid, 'gradient_boosting');
$node->stop('immediate');
ok(wait_until(sub { !-e "/proc/$pid" }), 'an immediate shutdown ends the training');
eval { $session->quit };
$node->start;
check_recovered('immediate', $before);
$node->stop;

done_testing();
