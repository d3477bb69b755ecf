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

our @EXPORT = qw(stage_settings preload_setting configure_server new_server registry_counts registry_problems create_small_table create_slow_table
  slow_call start_in_background wait_for_step wait_until thread_masks);

# Every signal that can be blocked: 1 to 31 without KILL and STOP.
our $ALL_SIGNALS = 0x7ffbfeff;

plan skip_all => 'PGML_STAGE is not set: no staged installation to test' unless $ENV{PGML_STAGE};

# Settings with which a server finds the extension in a stage: Debian's own one, from PostgreSQL 18 on the common ones.
sub stage_settings
{
	my ($node, $stage) = @_;
	return "extension_destdir = '$stage'\n" if $node->pg_version < 18;
	my ($major) = $node->pg_version =~ /^(\d+)/;
	return "extension_control_path = '$stage/usr/share/postgresql/$major:\$system'\n"
	  . "dynamic_library_path = '$stage/usr/lib/postgresql/$major/lib:\$libdir'\n";
}

# The setting that preloads the library from the stage.
sub preload_setting
{
	my ($node) = @_;
	return q{shared_preload_libraries = '} . ($node->pg_version < 18 ? '$libdir/' : '') . "pgml_auto'\n";
}

# The settings that let a server find the staged extension; background sessions take a NOTICE for a failure.
sub configure_server
{
	my ($node, $stage) = @_;
	$node->append_conf('postgresql.conf', stage_settings($node, $stage // $ENV{PGML_STAGE}));
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
	{
		# Libraries of a sanitizer are for the server only, not for the clients.
		local $ENV{LD_PRELOAD} = $ENV{PGML_SERVER_PRELOAD} // $ENV{LD_PRELOAD} // '';
		$node->start;
	}
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

# What must be true of the registry whenever a transaction has ended: each query finds the rows of which it is not.
my @registry_rules = (
	[ 'a model without versions',
		'SELECT name FROM pgml_auto.models m WHERE NOT EXISTS (SELECT FROM pgml_auto.versions v WHERE v.model_id = m.model_id)' ],
	[ 'a model of which nothing is deployed',
		'SELECT name FROM pgml_auto.models m WHERE NOT EXISTS (SELECT FROM pgml_auto.deployed d WHERE d.model_id = m.model_id)' ],
	[ 'a version number that is still to come',
		'SELECT name FROM pgml_auto.models m JOIN pgml_auto.versions v USING (model_id) WHERE v.version >= m.next_version' ],
	[ 'a row of a model that is not there', join ' UNION ALL ',
		map { "SELECT '$_ ' || model_id FROM pgml_auto.$_ WHERE model_id NOT IN (SELECT model_id FROM pgml_auto.models)" }
		  qw(versions deployed deployments grants) ],
	[ 'a row of a version that is not there', join ' UNION ALL ',
		map { "SELECT '$_ ' || version_id FROM pgml_auto.$_ WHERE version_id NOT IN (SELECT version_id FROM pgml_auto.versions)" }
		  qw(trials metrics image_chunks deployed) ],
	[ 'a version without trials, metrics or image', join ' UNION ALL ',
		map { "SELECT '$_ ' || version_id FROM pgml_auto.versions WHERE version_id NOT IN (SELECT version_id FROM pgml_auto.$_)" }
		  qw(trials metrics image_chunks) ],
	[ 'a version of which no trial was chosen', q{
		SELECT version_id::text FROM pgml_auto.versions v
		WHERE NOT EXISTS (SELECT FROM pgml_auto.trials t WHERE t.version_id = v.version_id AND t.chosen)} ],
	[ 'a version without its metric', q{
		SELECT version_id::text FROM pgml_auto.versions v WHERE NOT EXISTS (SELECT FROM pgml_auto.metrics s
			WHERE s.version_id = v.version_id AND s.metric = v.metric AND s.part = v.score_part
				AND s.value IS NOT DISTINCT FROM v.score)} ],
	[ 'an image that is not whole', q{
		SELECT v.version_id::text FROM pgml_auto.versions v JOIN pgml_auto.image_chunks c USING (version_id) GROUP BY v.version_id
		HAVING sum(length(c.data)) <> v.image_bytes OR min(c.chunk) <> 0 OR max(c.chunk) <> count(*) - 1
			OR count(*) <> (v.image_bytes + 1048575) / 1048576} ],
	[ 'a deployed version of another model', q{
		SELECT d.model_id::text FROM pgml_auto.deployed d JOIN pgml_auto.versions v USING (version_id) WHERE v.model_id <> d.model_id} ],
	[ 'a deployment that is not the open one of its history, once', q{
		SELECT d.model_id::text FROM pgml_auto.deployed d LEFT JOIN pgml_auto.deployments h
			ON h.model_id = d.model_id AND h.deployed_until IS NULL
		GROUP BY d.model_id, d.version_id HAVING count(h.*) <> 1 OR min(h.version_id) <> d.version_id} ],
	[ 'an open deployment of what is not deployed', q{
		SELECT deployment_id::text FROM pgml_auto.deployments
		WHERE deployed_until IS NULL AND model_id NOT IN (SELECT model_id FROM pgml_auto.deployed)} ],
	[ 'a deployment that ends before it begins', q{
		SELECT deployment_id::text FROM pgml_auto.deployments WHERE deployed_until < deployed_at} ],
	[ 'a version or deployment that nobody has made', q{
		SELECT 'version ' || version_id FROM pgml_auto.versions v WHERE NOT EXISTS (SELECT FROM pgml_auto.audit a
			WHERE a.action = 'train' AND a.model_id = v.model_id AND a.version = v.version)
		UNION ALL
		SELECT 'deployment ' || deployment_id FROM pgml_auto.deployments h WHERE NOT EXISTS (SELECT FROM pgml_auto.audit a
			WHERE a.model_id = h.model_id AND a.version = h.version AND a.action NOT IN ('train', 'drop'))} ],
	[ 'a key that its sequence will give again', q{
		SELECT 'models' FROM pgml_auto.models, pgml_auto.models_model_id_seq HAVING max(model_id) > min(last_value)
		UNION ALL SELECT 'versions' FROM pgml_auto.versions, pgml_auto.versions_version_id_seq HAVING max(version_id) > min(last_value)
		UNION ALL SELECT 'deployments' FROM pgml_auto.deployments, pgml_auto.deployments_deployment_id_seq
			HAVING max(deployment_id) > min(last_value)
		UNION ALL SELECT 'audit' FROM pgml_auto.audit, pgml_auto.audit_audit_id_seq HAVING max(audit_id) > min(last_value)} ]);

# What is wrong with the registry of a database, a line each; nothing as a rule.
sub registry_problems
{
	my ($node, $database) = @_;
	my $query = join "\nUNION ALL ", map { "SELECT '$_->[0]: ' || string_agg(p.*::text, ', ') FROM ($_->[1]) AS p HAVING count(*) > 0" }
	  @registry_rules;
	return $node->safe_psql($database // 'postgres', $query);
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
