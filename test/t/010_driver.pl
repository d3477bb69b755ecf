# A training is a good guest: it can be cancelled anywhere, shows its progress, and disturbs nothing meanwhile.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = PostgreSQL::Test::Cluster->new('driver');
$node->init;
$node->append_conf('postgresql.conf', "extension_destdir = '$ENV{PGML_STAGE}'\n") if $ENV{PGML_STAGE};
$node->append_conf('postgresql.conf', "restart_after_crash = on\nmax_parallel_workers_per_gather = 0\n");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION pgml_auto;
	CREATE ROLE reader;
	CREATE TABLE t AS
	SELECT i AS id, sin(i) AS a, cos(i * 3) AS b, i % 17 AS c, sin(i * 5) AS d, 'k' || i % 40 AS e,
	       sin(i) * 3 + cos(i * 3) * (i % 17) + sin(i * 7) AS y
	FROM generate_series(1, 60000) i;
});

my $train = q{SELECT * FROM automl_train('m', '%s', 'y', time_budget => '120 s', seed => 1)};
my $endless = 'SELECT a.* FROM t a, t b';

# Start a training in a session of its own; returns its handle, process id and where its messages go.
sub start_training
{
	my ($data, $before) = @_;
	my ($out, $err) = ('', '');
	my $sql = ($before // '') . sprintf($train, $data);
	my $handle = IPC::Run::start(
		[ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=verbose', '-d', $node->connstr('postgres'), '-c', $sql ],
		'<', \undef, '>', \$out, '2>', \$err);
	return { handle => $handle, out => \$out, err => \$err };
}

# Wait until the training is where the pattern says; sets its process id.
sub wait_for_step
{
	my ($training, $pattern) = @_;
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pgml_auto.progress WHERE step ~ '$pattern'"),
		"progress shows $pattern");
	$training->{pid} = $node->safe_psql('postgres', 'SELECT pid FROM pgml_auto.progress');
}

# Wait for the session's end; returns what it said.
sub finish
{
	my ($training) = @_;
	$training->{handle}->finish;
	return ${ $training->{err} };
}

sub models { return $node->safe_psql('postgres', 'SELECT count(*) FROM pgml_auto.models'); }

# Ending a training, while it reads and while it computes.
for my $phase ([ 'reading', $endless, '^reading' ], [ 'computing', 't', 'gradient_boosting' ])
{
	my ($name, $data, $step) = @$phase;
	for my $how (qw(cancel terminate))
	{
		my $training = start_training($data);
		wait_for_step($training, $step);
		my $begin = time;
		is($node->safe_psql('postgres', "SELECT pg_${how}_backend($training->{pid})"), 't', "$how while $name");
		my $said = finish($training);
		note sprintf('%s while %s: %.0f ms, psql included', $how, $name, (time - $begin) * 1000);
		like($said, $how eq 'cancel' ? qr/57014/ : qr/57P01/, "$how while $name says so");
		ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM pgml_auto.progress'), "$how while $name leaves no progress");
		is(models(), '0', "$how while $name leaves no model");
	}
	my $training = start_training($data, "SET statement_timeout = '2s'; ");
	like(finish($training), qr/57014: canceling statement due to statement timeout/, "statement_timeout while $name");
	is(models(), '0', "statement_timeout while $name leaves no model");
}

# What others do meanwhile disturbs nothing, and is not held up.
my $training = start_training('t');
wait_for_step($training, 'gradient_boosting');
my ($threads, $masked) = (0, 0);
for my $status (glob "/proc/$training->{pid}/task/*/status")
{
	next if $status =~ m{/task/$training->{pid}/};
	my ($blocked) = slurp_file($status) =~ /^SigBlk:\s*([0-9a-f]+)/m;
	my $low = hex(substr($blocked, -8));
	$threads++;
	# HUP, INT, QUIT, USR1, USR2, ALRM, TERM, URG
	$masked++ unless grep { !($low & (1 << ($_ - 1))) } 1, 2, 3, 10, 12, 14, 15, 23;
}
cmp_ok($threads, '>', 0, 'a training computes in threads of its own');
is($masked, $threads, 'which have every signal blocked');
is($node->safe_psql('postgres', "SELECT pg_log_backend_memory_contexts($training->{pid})"), 't', 'memory contexts logged');
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('postgres', 'DROP DATABASE other');
pass('databases created and dropped meanwhile');
$node->reload;
is($node->safe_psql('postgres', "SELECT model, username, percent >= 0 FROM pgml_auto.progress"),
	'm|' . $node->safe_psql('postgres', 'SELECT current_user') . '|t', 'progress names the model');
is($node->safe_psql('postgres', 'SET ROLE reader; SELECT count(*) FROM pgml_auto.progress'), '0', 'others do not see it');
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pgml_auto.progress"), 'the training goes on');

# The same session goes on after a cancel, with one thread.
$node->safe_psql('postgres', "SELECT pg_cancel_backend($training->{pid})");
like(finish($training), qr/57014/, 'ended');
my ($rc, $out, $err) = $node->psql('postgres', qq{
	SET statement_timeout = '2s';
	} . sprintf($train, 't') . q{;
	RESET statement_timeout;
	SELECT count(*) FROM pg_ls_dir('/proc/' || pg_backend_pid() || '/task');
	SELECT version FROM automl_train('small', 't', 'y', max_trials => 1, seed => 1, algorithms => '{constant}');
}, on_error_stop => 0);
is($out, "1\n1", 'a session can train after a cancelled training, which has left no thread');

# The server has not crashed, and stops at once although a training runs.
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC/, 'no process crashed');
$training = start_training('t');
wait_for_step($training, 'gradient_boosting');
$node->stop('fast');
finish($training);
pass('fast shutdown during a training');

done_testing();
