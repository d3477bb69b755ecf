# Models outlive what databases go through: dump and restore, crash, standby, another database beside.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PgmlTest;

my $node = PostgreSQL::Test::Cluster->new('primary');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', stage_settings($node, $ENV{PGML_STAGE}));
$node->start;

my $table = q{
	CREATE TABLE t AS SELECT i AS id, i % 40 AS x, 'c' || i % 3 AS k, i % 40 * 2 + i % 3 AS y
	FROM generate_series(1, 400) i;};
my $predictions = q{SELECT md5(string_agg(predict_value('m', t)::text, ',' ORDER BY id)) FROM t};

$node->safe_psql('postgres', qq{
	CREATE EXTENSION pgml_auto;
	$table
	CREATE ROLE reader;
	SELECT * FROM automl_train('m', 't', 'y', max_trials => 2);
	SELECT * FROM automl_train('m', max_trials => 1);
	SELECT automl_deploy('m', 1);
	SELECT automl_grant('m', 'reader');});
my $expected = $node->safe_psql('postgres', $predictions);

# Dump and restore: same answers, same history, and new rows get new numbers.
my $dump = "$PostgreSQL::Test::Utils::tmp_check/dump.sql";
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr('restored') ], 'restore');
is($node->safe_psql('restored', $predictions), $expected, 'a restored model predicts the same');
for my $view (qw(model version trial metric deployment model_grant audit_log))
{
	my $query = "SELECT md5(string_agg(v::text, ',' ORDER BY v::text)) FROM pgml_auto.$view v";
	is($node->safe_psql('restored', $query), $node->safe_psql('postgres', $query), "view $view is restored");
}
is($node->safe_psql('restored', q{SELECT version FROM automl_train('m')}), '3', 'training goes on after a restore');
is($node->safe_psql('restored', q{SELECT version FROM automl_train('n', 't', 'y', max_trials => 1)}),
	'1', 'a new model after a restore');

# Databases know nothing of each other's models.
is($node->safe_psql('postgres', 'SELECT count(*) FROM pgml_auto.model'), '1', 'other databases see nothing of it');
isnt($node->safe_psql('restored', q{SELECT automl_deploy('m', 3)}), '', 'deploy in one database');
is($node->safe_psql('postgres', $predictions), $expected, 'and the other one predicts as before');

# A standby predicts, follows deployments, and refuses to change anything.
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', $predictions), $expected, 'the standby predicts the same');
for my $call (q{automl_train('m')}, q{automl_deploy('m', 2)}, q{automl_rollback('m')}, q{automl_drop('m')},
	q{automl_rename('m', 'k')}, q{automl_grant('m', 'public')}, q{automl_revoke('m', 'reader')})
{
	my (undef, undef, $stderr) = $standby->psql('postgres', "SELECT * FROM $call");
	like($stderr, qr/in a read-only transaction/, "the standby refuses $call");
}
like($standby->safe_psql('postgres', q{SELECT string_agg(description, ' ') FROM automl_describe('m')}),
	qr/version 1 \(deployed\)/, 'the standby describes');

$node->safe_psql('postgres', q{SELECT automl_deploy('m', 2)});
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', 'SELECT deployed FROM pgml_auto.model'), '2', 'the standby follows a deployment');
is($standby->safe_psql('postgres', $predictions), $node->safe_psql('postgres', $predictions),
	'and predicts with it');

# After a crash everything committed is there, and nothing else.
$node->safe_psql('postgres', q{SELECT automl_deploy('m', 1)});
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', $predictions), $expected, 'a crash loses nothing');

# Several transactions in one message have one start time: what one of them deployed and rolled back is not seen by the
# next, however many commands either has run.
$node->safe_psql('postgres', q{
	CREATE TABLE steps AS SELECT i % 30 AS x, 10 AS y FROM generate_series(1, 100) i;
	CREATE TABLE ticks (n int);
	SELECT version FROM automl_train('steps', 'SELECT x, y + x % 2 * 1e-6 AS y FROM steps', 'y', algorithms => '{constant}', max_trials => 1);
	SELECT version FROM automl_train('steps', 'SELECT x, y + 10 + x % 2 * 1e-6 AS y FROM steps', 'y', algorithms => '{constant}', max_trials => 1);
	SELECT automl_deploy('steps', 1)});
my $ask = q{SELECT 'predicted ' || round(predict_value('steps', '{"x": 1}'::jsonb));};
my $ticks = 'INSERT INTO ticks VALUES (1);';
my $message = join ' ', map {
	"BEGIN; SELECT automl_deploy('steps', 2); $ticks $ask ROLLBACK; BEGIN; " . $ticks x $_ . " $ask COMMIT;" } 0 .. 30;
my ($message_out) = run_command([ 'psql', '-X', '-A', '-t', '-d', $node->connstr('postgres'), '-c', $message ]);
is_deeply([ $message_out =~ /^predicted (\d+)/mg ], [ (20, 10) x 31 ], 'a deployment that was rolled back is forgotten');

$standby->stop;
$node->stop;

done_testing();
