# A base backup and archived WAL lead back to the moment before a deployment, and on from there; prediction views and an
# extension in a schema of its own come through a dump.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PgmlTest;

my $node = new_server('archived', allows_streaming => 1, has_archiving => 1, extension => 0);
create_small_table($node);
# Version 1 predicts 10, version 2 predicts 20.
my $train = q{SELECT version FROM ml.automl_train('m', 'SELECT x, %d + x %% 2 * 1e-6 AS y FROM points', 'y', algorithms => '{constant}', max_trials => 1)};
$node->safe_psql('postgres', q{CREATE SCHEMA ml; CREATE EXTENSION pgml_auto SCHEMA ml});
$node->safe_psql('postgres', sprintf($train, 10));
$node->backup('base');
$node->safe_psql('postgres', sprintf($train, 20));
$node->safe_psql('postgres', q{
	SELECT ml.automl_deploy('m', 1);
	SELECT ml.automl_predict_view('m', 'SELECT x FROM points', 'answers');
	SELECT pg_create_restore_point('before the deployment')});
$node->safe_psql('postgres', q{SELECT ml.automl_deploy('m', 2)});
$node->safe_psql('postgres', q{SELECT ml.automl_rename('m', 'late')});
$node->safe_psql('postgres', 'SELECT pg_switch_wal()');

my $restored = PostgreSQL::Test::Cluster->new('restored');
$restored->init_from_backup($node, 'base', has_restoring => 1);
$restored->append_conf('postgresql.conf', "recovery_target_name = 'before the deployment'\nrecovery_target_action = promote");
$restored->start;
$restored->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()');
my $predict = q{SELECT DISTINCT round(ml.predict_value('m', p)) FROM points p};
is($restored->safe_psql('postgres', $predict), 10, 'before the deployment the first version predicts');
is($restored->safe_psql('postgres', q{SELECT version, deployed FROM pgml_auto.version ORDER BY version}), "1|t\n2|f", 'the second one is there');
is($restored->safe_psql('postgres', 'SELECT DISTINCT round(prediction::numeric) FROM answers'), 10, 'and the view');
is(registry_problems($restored), '', 'the registry is whole');
$restored->safe_psql('postgres', q{SELECT ml.automl_deploy('m', 2)});
is($restored->safe_psql('postgres', $predict), 20, 'history goes on from there');
is($restored->safe_psql('postgres', sprintf($train, 30)), 3, 'with the next version');
$restored->safe_psql('postgres', q{SELECT ml.automl_rollback('m')});

# The extension in a schema of its own, and what depends on it.
my $dump = $restored->basedir . '/elsewhere.dump';
$restored->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'postgres' ], 'pg_dump');
$restored->safe_psql('postgres', 'CREATE DATABASE again TEMPLATE template0');
$restored->command_ok([ 'pg_restore', '--exit-on-error', '-d', 'again', $dump ], 'pg_restore');
is($restored->safe_psql('again', $predict), 20, 'an extension in its own schema is restored there');
is($restored->safe_psql('again', 'SELECT DISTINCT round(prediction::numeric) FROM answers'), 20, 'with the view');
is(registry_problems($restored, 'again'), '', 'the registry is whole');

# Data alone, into an extension in another schema.
$restored->safe_psql('postgres', 'CREATE DATABASE moved');
$restored->safe_psql('moved', 'CREATE EXTENSION pgml_auto; CREATE TABLE points (x int, y int)');
$restored->command_ok([ 'pg_restore', '--exit-on-error', '--data-only', '-d', 'moved', $dump ], 'pg_restore --data-only');
is($restored->safe_psql('moved', $predict =~ s/ml\.//r), 20, 'models move to another schema of functions');
is($restored->safe_psql('moved', sprintf($train =~ s/ml\.//r, 40)), 4, 'and are trained there');
is(registry_problems($restored, 'moved'), '', 'the registry is whole');
$restored->stop;
$node->stop;

done_testing();
