# PgmlTest.pm - what the server tests share: servers that find the staged extension, trainings in the background, and a
# look at threads.
package PgmlTest;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

our @EXPORT = qw(configure_server new_server registry_counts create_small_table create_slow_table
  slow_call start_in_background wait_for_step wait_until thread_masks);

# Every signal that can be blocked: 1 to 31 without KILL and STOP.
our $ALL_SIGNALS = 0x7ffbfeff;

plan skip_all => 'PGML_STAGE is not set: no staged installation to test' unless $ENV{PGML_STAGE};

# The settings that let a server find the staged extension; background sessions take a NOTICE for a failure.
sub configure_server
{
	my ($node) = @_;
	$node->append_conf('postgresql.conf', "extension_destdir = '$ENV{PGML_STAGE}'");
	$node->append_conf('postgresql.conf', 'pgml_auto.max_threads = 2');
	$node->append_conf('postgresql.conf', 'client_min_messages = warning');
	return;
}

# A running server of its own; with extension => 0 without the extension.
sub new_server
{
	my ($name, %options) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(%options);
	configure_server($node);
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION pgml_auto') if $options{extension} // 1;
	return $node;
}

# How many rows each registry table has, as one string to compare.
sub registry_counts
{
	my ($node, $database) = @_;
	my @tables = qw(models versions trials metrics image_chunks deployed deployments grants audit);
	my $query = join ' UNION ALL ',
	  map { "SELECT '$_ ' || count(*) AS line FROM pgml_auto.$_" } @tables;
	return $node->safe_psql($database // 'postgres', "SELECT string_agg(line, ', ') FROM ($query) AS t");
}

# A table that is learned in a moment: points(x, y).
sub create_small_table
{
	my ($node, $database) = @_;
	$node->safe_psql($database // 'postgres',
		'CREATE TABLE points AS SELECT (i * 7919) % 61 AS x, (i * 7919) % 61 * 2 + i % 3 AS y FROM generate_series(1, 120) i');
	return;
}

# A table that slow_call() works on for longer than any test waits.
sub create_slow_table
{
	my ($node) = @_;
	$node->safe_psql('postgres', q{
		CREATE TABLE slow AS
		SELECT i AS id, a, b, c, 'k' || i % 50 AS d, a * b + sin(9 * c) AS y
		FROM (SELECT i, random() AS a, random() AS b, random() AS c FROM generate_series(1, 40000) i) r});
	return;
}

# The function call that takes so long, for FROM.
sub slow_call
{
	my ($model) = @_;
	return qq{automl_train('$model', 'slow', 'y', max_trials => 1,
		algorithms => '{gradient_boosting}',
		hyperparams => '{"n_estimators": 50000, "learning_rate": 0.0001, "early_stopping_round": 0}')};
}

# Send SQL to a background session without waiting for its end.
sub start_in_background
{
	my ($session, $sql) = @_;
	$session->query_until(qr/started/, "\\echo started\n$sql;\n");
	return;
}

# Wait until the training of a backend reports a step that matches a pattern.
sub wait_for_step
{
	my ($node, $pid, $pattern) = @_;
	return $node->poll_query_until('postgres',
		"SELECT count(*) > 0 FROM pgml_auto.progress WHERE pid = $pid AND step ~ '$pattern'");
}

# Wait for a condition of this process, 60 s at most.
sub wait_until
{
	my ($condition) = @_;
	my $end = time + 60;
	until ($condition->())
	{
		return 0 if time > $end;
		usleep(10_000);
	}
	return 1;
}

# The blocked signals of each thread of a process: thread id => mask. Empty when the process is gone.
sub thread_masks
{
	my ($pid) = @_;
	my %masks;
	foreach my $file (glob "/proc/$pid/task/*/status")
	{
		my ($thread) = $file =~ m{/task/(\d+)/};
		open my $status, '<', $file or next;
		while (my $line = <$status>)
		{
			$masks{$thread} = hex(substr($1, -8)) if $line =~ /^SigBlk:\s*([0-9a-f]+)/;
		}
		close $status;
	}
	return %masks;
}

1;
