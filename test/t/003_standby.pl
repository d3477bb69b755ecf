# A hot standby predicts, follows what is deployed, and refuses to change anything; promoted, it trains.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PgmlTest;

my $primary = new_server('primary', allows_streaming => 1);
create_small_table($primary);
# Version 1 predicts 10, version 2 predicts 20.
$primary->safe_psql('postgres', q{
	CREATE TABLE steps AS SELECT (i * 7919) % 61 AS x, 10 + i % 2 * 1e-6 AS y FROM generate_series(1, 120) i;
	SELECT version FROM automl_train('m', 'steps', 'y', algorithms => '{constant}', max_trials => 1);
	SELECT version FROM automl_train('m', 'SELECT x, y + 10 AS y FROM steps', algorithms => '{constant}', max_trials => 1);
	SELECT automl_deploy('m', 1);
	SELECT version FROM automl_train('lines', 'points', 'y', max_trials => 1)});
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', 'max_standby_streaming_delay = 30s');
$standby->start;
$primary->wait_for_catchup($standby);

my $predict = q{SELECT round(predict_value('m', '{"x": 1}'::jsonb))};
my $session = $standby->background_psql('postgres');
is($session->query_safe($predict), 10, 'the standby predicts');
$session->query_safe("PREPARE ask AS $predict");
is($session->query_safe('EXECUTE ask'), 10, 'also prepared');
my $all = q{SELECT md5(string_agg(predict_value('lines', p)::text, ',' ORDER BY x, y)) FROM points p};
is($standby->safe_psql('postgres', $all), $primary->safe_psql('postgres', $all), 'bit for bit as the primary');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM predict_table('lines', 'points')}), 120, 'whole tables, too');
like($standby->safe_psql('postgres', q{SELECT string_agg(description, ' ') FROM automl_describe('m')}),
	qr/version 1 \(deployed\)/, 'it describes models');
is($standby->safe_psql('postgres', q{SELECT count(*) > 3 FROM automl_plan('lines', time_budget => '5 s')}), 't', 'plans a training of one');
is($standby->safe_psql('postgres', q{SELECT count(*) > 3 FROM automl_plan(data => 'points', target => 'y', time_budget => '5 s')}), 't',
	'and of a new one');
is($standby->safe_psql('postgres', q{SELECT identical FROM automl_reproduce('lines')}), 't', 'makes a model again, to the last byte');

$primary->safe_psql('postgres', q{SELECT automl_deploy('m', 2)});
$primary->wait_for_catchup($standby);
is($session->query_safe('EXECUTE ask'), 20, 'a session that has a plan and a cached model follows a deployment');
$session->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
is($session->query_safe('EXECUTE ask'), 20, 'a snapshot');
$primary->safe_psql('postgres', q{SELECT automl_rollback('m')});
$primary->wait_for_catchup($standby);
is($session->query_safe('EXECUTE ask'), 20, 'keeps its version');
$session->query_safe('COMMIT');
is($session->query_safe('EXECUTE ask'), 10, 'until its end');
$primary->safe_psql('postgres', q{SELECT automl_rename('m', 'n')});
$primary->wait_for_catchup($standby);
my ($code, $out, $error) = $standby->psql('postgres', $predict);
like($error, qr/model "m" does not exist/, 'a renamed model has its new name only');
$primary->safe_psql('postgres', q{SELECT automl_rename('n', 'm')});
$primary->wait_for_catchup($standby);

foreach my $call (q{automl_train('new', 'points', 'y')}, q{automl_train('m')}, q{automl_deploy('m', 2)}, q{automl_rollback('m')},
	q{automl_drop('m')}, q{automl_rename('m', 'k')}, q{automl_grant('m', 'public')}, q{automl_revoke('m', 'public')},
	q{automl_predict_view('lines', 'points', 'v')})
{
	($code, $out, $error) = $standby->psql('postgres', "\\set VERBOSITY verbose\nSELECT * FROM $call");
	like($error, qr/ERROR:  25006: cannot execute (?:\w+\(\)|CREATE VIEW) in a read-only transaction/, "the standby refuses $call");
}
is($standby->safe_psql('postgres', $predict), 10, 'and predicts as before');

# What the primary drops is gone here, too, for a session that has it in its cache: a version, a model, the extension.
$primary->safe_psql('postgres', q{
	CREATE DATABASE short_lived;
	SELECT version FROM automl_train('brief', 'steps', 'y', algorithms => '{constant}', max_trials => 1)});
$primary->safe_psql('short_lived', q{
	CREATE EXTENSION pgml_auto;
	CREATE TABLE steps AS SELECT i % 30 AS x, 10 + i % 2 * 1e-6 AS y FROM generate_series(1, 120) i;
	SELECT version FROM automl_train('m', 'steps', 'y', algorithms => '{constant}', max_trials => 1)});
$primary->wait_for_catchup($standby);
my $brief = $standby->background_psql('postgres', on_error_stop => 0);
my $elsewhere = $standby->background_psql('short_lived', on_error_stop => 0);
is($brief->query_safe(q{SELECT round(predict_value('brief', '{"x": 1}'::jsonb))}), 10, 'a model that will be dropped');
is($elsewhere->query_safe($predict), 10, 'and one whose extension will be');
$primary->safe_psql('postgres', q{SELECT automl_drop('brief')});
$primary->safe_psql('short_lived', 'DROP EXTENSION pgml_auto');
$primary->wait_for_catchup($standby);
$brief->query(q{SELECT predict('brief', '{"x": 1}'::jsonb)});
like($brief->{stderr}, qr/model "brief" does not exist/, 'the dropped model is not there');
$elsewhere->query($predict);
like($elsewhere->{stderr}, qr/function predict_value\(unknown, jsonb\) does not exist/, 'nor is the extension');
$_->quit foreach $brief, $elsewhere;

# The standby becomes the primary; what the open session knows goes on.
my $before = registry_counts($standby);
$primary->stop;
$standby->promote;
is($session->query_safe('EXECUTE ask'), 10, 'after the promotion the session predicts on');
is(registry_counts($standby), $before, 'nothing is lost');
is(registry_problems($standby), '', 'the registry is whole');
is($session->query_safe(q{SELECT version, deployed FROM automl_train('lines', max_trials => 1)}), '2|t', 'it trains');
is($session->query_safe(q{SELECT automl_deploy('m', 2)}), 2, 'and deploys');
is($session->query_safe('EXECUTE ask'), 20, 'what it then predicts with');
$session->quit;
$standby->stop;

done_testing();
