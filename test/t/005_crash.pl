# A process that dies in the middle of a training takes nothing with it but that training: whatever was committed is there,
# nothing is half there, and the next training works.  CRASH_ROUNDS says how often (6 cover every moment once), the
# second half of them with the library preloaded.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use IPC::Run ();
use Time::HiRes qw(usleep);
use PgmlTest;

my $rounds = $ENV{CRASH_ROUNDS} || 6;
my $seed = $ENV{CRASH_SEED} || 42;

my $node = new_server('crash');
$node->append_conf('postgresql.conf', "restart_after_crash = on\nlog_min_messages = warning\nwork_mem = '64kB'");
$node->reload;
create_small_table($node);
create_slow_table($node);
# Whoever trains writes down in the same transaction what came of it.
$node->safe_psql('postgres', q{
	CREATE TABLE ledger AS SELECT model, version FROM automl_train('kept', 'points', 'y', max_trials => 1);
	INSERT INTO ledger SELECT model, version FROM automl_train('large', 'SELECT * FROM slow WHERE id <= 4000', 'y',
		algorithms => '{gradient_boosting}', max_trials => 1);
	CREATE TABLE steps AS SELECT (i * 7919) % 61 AS x, i % 2 AS y FROM generate_series(1, 120) i});

# One of these models is large enough to be shared by all sessions when the library is preloaded.
my $predict = q{SELECT (SELECT md5(string_agg(predict_value('kept@1', p)::text, ',' ORDER BY x, y)) FROM points p),
	(SELECT md5(string_agg(predict_value('large', s)::text, ',' ORDER BY id)) FROM slow s WHERE id <= 300)};
my $expected = $node->safe_psql('postgres', $predict);

# ---- what dies ------------------------------------------------------------------------------

# A session that begins SQL and will not see its end; returns the session and its process id.
sub begin_doomed
{
	my ($sql) = @_;
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	start_in_background($session, $sql);
	return ($session, $pid);
}

# SQL of a training that is written down.
sub noted
{
	my ($call) = @_;
	return "INSERT INTO ledger SELECT model, version FROM $call";
}

# Reading, with a sort that has left memory.
sub while_reading
{
	my ($round) = @_;
	my ($session, $pid) = begin_doomed(noted(qq{automl_train('reading $round',
		'SELECT s.* FROM (SELECT * FROM slow ORDER BY md5(id::text)) s WHERE pg_sleep(0.0005) IS NOT NULL', 'y')}));
	ok(wait_for_step($node, $pid, 'reading data'), "round $round: reading");
	ok(wait_until(sub { temporary_files() > 0 }), "round $round: with temporary files");
	usleep(int(rand(300_000)));
	return ($pid, $session);
}

# Fitting; a version stored in the same transaction and a new name are there already.
sub while_fitting
{
	my ($round) = @_;
	my ($session, $pid) = begin_doomed('BEGIN; ' . noted(q{automl_train('kept', max_trials => 1)})
		. q{; SELECT automl_rename('kept', 'half'); } . noted(slow_call("fitting $round")));
	ok(wait_for_step($node, $pid, 'gradient_boosting'), "round $round: fitting");
	usleep(int(rand(300_000)));
	return ($pid, $session);
}

# Any moment of a training of a second or so.
sub at_any_moment
{
	my ($round) = @_;
	my ($session, $pid) = begin_doomed(noted(
		qq{automl_train('any $round', 'SELECT * FROM slow WHERE id <= 4000', 'y', max_trials => 3)}) . ';'
		. noted(qq{automl_train('any $round', max_trials => 1)}));
	usleep(int(rand(1_500_000)));
	my $step = $node->safe_psql('postgres', "SELECT step FROM pgml_auto.progress WHERE pid = $pid");
	note "round $round: at '$step'";
	return ($pid, $session);
}

# Waiting for a table that another session holds: everything before that table is written, nothing after it.
sub held_at
{
	my ($round, $step, $table) = @_;
	my $holder = $node->background_psql('postgres', on_error_stop => 0);
	$holder->query_safe("BEGIN; LOCK TABLE pgml_auto.$table IN SHARE MODE");
	my $model = $round % 4 < 2 ? 'kept' : "$step $round";
	my ($session, $pid) = begin_doomed(noted(qq{automl_train('$model', 'points', 'y', max_trials => 1)}));
	ok(wait_for_step($node, $pid, $step), "round $round: $step");
	ok($node->poll_query_until('postgres', qq{SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $pid AND NOT granted
			AND relation = 'pgml_auto.$table'::regclass)}), "round $round: before $table");
	return ($pid, $session, $holder);
}

sub while_storing
{
	my ($round) = @_;
	my @tables = qw(versions image_chunks trials metrics models);
	return held_at($round, 'storing', $tables[ int(rand(@tables)) ]);
}

sub while_deploying
{
	my ($round) = @_;
	my @tables = qw(deployed deployments);
	return held_at($round, 'deploying', $tables[ int(rand(@tables)) ]);
}

# One short transaction after the other; each is acknowledged once its COMMIT has returned.
my $acknowledged = $node->basedir . '/acknowledged';

sub while_committing
{
	my ($round) = @_;
	my $script = $node->basedir . "/commits_$round.sql";
	my $commits = join '', map { 'BEGIN; '
		  . noted(qq{automl_train('commit $round', 'steps', 'y', algorithms => '{constant}', max_trials => 1)})
		  . ($_ % 3 ? '' : "; SELECT automl_deploy('commit $round', $_)")
		  . ($_ % 5 ? '' : "; SELECT automl_grant('commit $round', 'public')")
		  . "; COMMIT;\n\\! echo $_ >> $acknowledged\n" } 1 .. 2000;
	append_to_file($script, "SET application_name = 'committing';\n$commits");
	my $client = IPC::Run::start([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', $script ],
		'<', \undef, '>', '/dev/null', '2>', '/dev/null');
	wait_until(sub { -s $acknowledged });
	my $pid = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE application_name = 'committing'});
	usleep(int(rand(400_000)));
	return ($pid, $client);
}

my @moments = (\&while_reading, \&while_storing, \&while_committing, \&while_fitting, \&while_deploying, \&at_any_moment);

# ---- how it dies ----------------------------------------------------------------------------

# Start again, as soon as the last process of the former server is gone.
sub start_again
{
	ok(wait_until(sub { $node->start(fail_ok => 1) }), 'started again');
	return;
}

sub kill_backend
{
	my ($pid) = @_;
	kill 'KILL', $pid;
	ok(wait_until(sub { !-e "/proc/$pid" }), 'the backend is killed');
	return;
}

sub kill_postmaster
{
	my ($pid) = @_;
	$node->kill9;
	ok(wait_until(sub { !-e "/proc/$pid" }), 'a training does not outlive the postmaster');
	start_again();
	return;
}

sub stop_immediately
{
	my ($pid) = @_;
	$node->stop('immediate');
	ok(wait_until(sub { !-e "/proc/$pid" }), 'an immediate shutdown ends the training');
	start_again();
	return;
}

my @deaths = (\&kill_backend, \&kill_postmaster, \&stop_immediately);

# ---- what must hold afterwards --------------------------------------------------------------

sub temporary_files
{
	return scalar(my @files = glob $node->data_dir . '/base/pgsql_tmp/*');
}

# What sessions have written down and what the registry has, where they differ.
my $differences = q{
	SELECT 'ledger', l.* FROM (SELECT * FROM ledger EXCEPT SELECT name, version FROM pgml_auto.models JOIN pgml_auto.versions USING (model_id)) l
	UNION ALL
	SELECT 'registry', r.* FROM (SELECT name, version FROM pgml_auto.models JOIN pgml_auto.versions USING (model_id) EXCEPT SELECT * FROM ledger) r};

sub check_recovered
{
	my ($round) = @_;
	ok($node->poll_query_until('postgres', undef, ''), "round $round: the server is back");
	is($node->safe_psql('postgres', $differences), '', "round $round: models are what was committed");
	is(registry_problems($node), '', "round $round: the registry is whole");
	is($node->safe_psql('postgres', $predict), $expected, "round $round: the first model predicts the same");
	is(temporary_files(), 0, "round $round: no temporary file is left");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM pgml_auto.progress'), 0, "round $round: no progress is shown");
	if (-e $acknowledged)
	{
		my @acknowledged = split /\n/, slurp_file($acknowledged);
		my $committed = $node->safe_psql('postgres', "SELECT count(*) FROM ledger WHERE model = 'commit $round'");
		note "round $round: $committed committed, " . scalar(@acknowledged) . ' acknowledged';
		ok($committed == @acknowledged || $committed == @acknowledged + 1, "round $round: what was acknowledged is there");
		unlink $acknowledged;
	}
	# Every stored image can be read back.
	is($node->safe_psql('postgres', q{
			SELECT count(*) FROM (SELECT name, version FROM pgml_auto.models JOIN pgml_auto.versions USING (model_id)
				WHERE name !~ '^commit' ORDER BY version_id DESC LIMIT 20) v
			WHERE predict_value(name || '@' || version, '{"x": 1, "a": 0.5, "b": 0.5, "c": 0.5, "d": "k1", "id": 1}'::jsonb) IS NULL}),
		0, "round $round: every version predicts");
	is($node->safe_psql('postgres', noted(q{automl_train('kept', 'points', 'y', max_trials => 1)}) . ' RETURNING model'),
		'kept', "round $round: training goes on");
	return;
}

srand($seed);
foreach my $round (1 .. $rounds)
{
	if ($round == int($rounds / 2) + 1)
	{
		$node->append_conf('postgresql.conf', preload_setting($node));
		$node->restart;
	}
	my $moment = $moments[ ($round - 1) % @moments ];
	my $death = $deaths[ ($round - 1 + int(($round - 1) / @moments)) % @deaths ];
	# A session that has the models in its cache when all sessions are thrown out.
	my $bystander = $node->background_psql('postgres', on_error_stop => 0);
	is($bystander->query_safe($predict), $expected, "round $round: a session predicts");
	my ($pid, @clients) = $moment->($round);
	push @clients, $bystander;
	$death->($pid);
	foreach my $client (@clients)
	{
		eval { $client->can('quit') ? $client->quit : $client->finish };
	}
	check_recovered($round);
	last unless Test::More->builder->is_passing;
}
$node->stop;

done_testing();
