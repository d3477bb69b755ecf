# Databases know nothing of each other's models; an extension dropped and created again knows nothing of its former self.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PgmlTest;

my $node = new_server('databases', extension => 0);

# A model "m" in each of two databases, with the same ids in the registry: it predicts 10 in one, 20 in the other.
my %constant = (one => 10, two => 20);
foreach my $database (sort keys %constant)
{
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, qq{
		CREATE EXTENSION pgml_auto;
		CREATE TABLE steps AS SELECT (i * 7919) % 61 AS x, $constant{$database} + i % 2 * 1e-6 AS y FROM generate_series(1, 120) i;
		SELECT version FROM automl_train('m', 'steps', 'y', algorithms => '{constant}', max_trials => 1)});
}
my $predict = q{SELECT round(predict_value('m', '{"x": 1}'::jsonb))};
is($node->safe_psql($_, $predict), $constant{$_}, "database $_ has its own model") foreach sort keys %constant;

# Sessions in both, with what they have cached; a change in one is none in the other.
my %session = map { $_ => $node->background_psql($_) } keys %constant;
$session{$_}->query_safe("PREPARE ask AS $predict") foreach keys %constant;
is($session{$_}->query_safe('EXECUTE ask'), $constant{$_}, "a session in $_") foreach sort keys %constant;
$session{one}->query_safe(q{SELECT version FROM automl_train('m', 'SELECT x, y + 20 AS y FROM steps', algorithms => '{constant}', max_trials => 1)});
$session{one}->query_safe(q{SELECT automl_deploy('m', 2)});
is($session{one}->query_safe('EXECUTE ask'), 30, 'deployed in one');
is($session{two}->query_safe('EXECUTE ask'), 20, 'is not in the other');
$session{one}->query_safe(q{SELECT automl_drop('m')});
is($session{two}->query_safe('EXECUTE ask'), 20, 'dropped in one is there in the other');
is($node->safe_psql('two', 'SELECT name, versions FROM pgml_auto.model'), 'm|1', 'whose registry is unchanged');

# One session connects to one database after the other.
is($node->safe_psql('postgres', "\\c two\n$predict;\n\\c one\nSELECT count(*) FROM pgml_auto.model;"),
	"20\n0", 'psql \c');

# A database without the extension, and one with it as template.
my ($code, $out, $error) = $node->psql('postgres', 'SELECT count(*) FROM pgml_auto.model');
like($error, qr/relation "pgml_auto.model" does not exist/, 'no extension, no models');
$session{$_}->quit foreach keys %session;
$node->safe_psql('postgres', 'CREATE DATABASE three TEMPLATE two');
is($node->safe_psql('three', $predict), 20, 'a copy of a database has copies of its models');

# The extension dropped and created again within one session, which holds plans and cached models; ids start again.
my $session = $node->background_psql('two', on_error_stop => 0);
my $train = q{SELECT version FROM automl_train('m', 'SELECT x, y + %d AS y FROM steps', 'y', algorithms => '{constant}', max_trials => 1)};
is($session->query_safe($predict), 20, 'before');
$session->query_safe('DROP EXTENSION pgml_auto; CREATE EXTENSION pgml_auto');
$session->query($predict);
like($session->{stderr}, qr/model "m" does not exist/, 'created again, it is empty');
$session->{stderr} = '';
$session->query_safe(sprintf $train, 5);
is($session->query_safe($predict), 25, 'and the old model of the same ids is not in the cache');

# The same where another session does it, and within a transaction that is rolled back.
$node->safe_psql('two', 'DROP EXTENSION pgml_auto; CREATE EXTENSION pgml_auto;' . sprintf $train, 7);
is($session->query_safe($predict), 27, 'another session has replaced the extension');
$session->query_safe('BEGIN; DROP EXTENSION pgml_auto; CREATE EXTENSION pgml_auto');
$session->query_safe(sprintf $train, 9);
is($session->query_safe($predict), 29, 'replaced within a transaction');
$session->query_safe('ROLLBACK');
is($session->query_safe($predict), 27, 'and back after its rollback');

# In another schema the functions are found by their qualified names, by views and by training itself.
$session->query_safe('DROP EXTENSION pgml_auto; CREATE SCHEMA ml; CREATE EXTENSION pgml_auto SCHEMA ml');
$train =~ s/automl_train/ml.automl_train/;
$session->query_safe(sprintf $train, 11);
is($session->query_safe(q{SELECT round(ml.predict_value('m', '{"x": 1}'::jsonb))}), 31, 'in a schema of its own');
is($session->query_safe('SELECT count(*) FROM pgml_auto.progress'), 0, 'with the progress view');
$session->quit;

# In an encoding of few characters, a json escape for one of the others is missing, as no text could hold it.
$node->safe_psql('postgres', q{CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0});
is($node->safe_psql('latin', q{
	SET client_min_messages = error;
	CREATE EXTENSION pgml_auto;
	SELECT version FROM automl_train('m', $$SELECT (ARRAY['"\u20ac"', '"\u00e9"', '"e"', '"a"'])[1 + i % 4]::json AS j, i % 5 AS z, i % 4 AS y FROM generate_series(1, 200) i$$, 'y',
		algorithms => '{gradient_boosting}', max_trials => 1, task => 'regression');
	SELECT predict_value('m', a) = predict_value('m', b), predict_value('m', c) <> predict_value('m', b), predict_value('m', c) = predict_value('m', d)
	FROM (SELECT '"\u20ac"'::json AS j, 1 AS z) a, (SELECT NULL AS j, 1 AS z) b, (SELECT '"\u00e9"'::json AS j, 1 AS z) c, (SELECT chr(233) AS j, 1 AS z) d}),
	"1\nt|t|t", 'json escapes in a database in LATIN1');

# A prediction view holds the extension; a session that has a model in its cache does not.
$node->safe_psql('two', q{CREATE TABLE points AS SELECT i AS x FROM generate_series(1, 9) i; SELECT ml.automl_predict_view('m', 'points', 'answers')});
$session = $node->background_psql('two', on_error_stop => 0);
$session->query_safe(q{PREPARE ask AS SELECT round(ml.predict_value('m', '{"x": 1}'::jsonb))});
is($session->query_safe('EXECUTE ask'), 31, 'a session that has the model in its cache');
($code, $out, $error) = $node->psql('two', 'DROP EXTENSION pgml_auto');
like($error, qr/view answers depends on function/, 'a prediction view keeps the extension from being dropped');
is($session->query_safe('EXECUTE ask'), 31, 'all goes on');
$node->safe_psql('two', 'DROP EXTENSION pgml_auto CASCADE');
is($node->safe_psql('two', q{SELECT to_regclass('answers')}), '', 'with CASCADE the view goes too');
$session->query('EXECUTE ask');
like($session->{stderr}, qr/ERROR:  (?:function|schema) .*does not exist|cache lookup failed/, 'the session is told that the functions are gone');
unlike($session->{stderr}, qr/cache lookup failed/, 'in words');
$session->{stderr} = '';
is($session->query_safe('SELECT 1'), 1, 'and goes on');
$session->quit;

# A database in which a training runs is dropped by force only, and the training with it.
create_slow_table($node);
$node->safe_psql('postgres', 'CREATE EXTENSION pgml_auto');
$node->safe_psql('postgres', 'CREATE DATABASE busy TEMPLATE postgres');
$session = $node->background_psql('busy', on_error_stop => 0);
my $pid = $session->query_safe('SELECT pg_backend_pid()');
start_in_background($session, 'SELECT version FROM ' . slow_call('slow'));
ok(wait_for_step($node, $pid, 'gradient_boosting'), 'a training runs');
($code, $out, $error) = $node->psql('postgres', 'DROP DATABASE busy');
like($error, qr/database "busy" is being accessed by other users/, 'its database is not dropped');
is($node->safe_psql('postgres', "SELECT count(*) FROM pgml_auto.progress WHERE pid = $pid"), 1, 'and it goes on');
is($node->safe_psql('postgres', 'DROP DATABASE busy WITH (FORCE)'), '', 'by force it is');
ok(wait_until(sub { !-e "/proc/$pid" }), 'and the training ends');
eval { $session->quit };

# The last thing that is left of a dropped extension is nothing.
is($node->safe_psql('two', q{SELECT count(*) FROM pg_namespace WHERE nspname = 'pgml_auto'}), 0, 'dropping leaves no schema');
is($node->safe_psql('two', q{SELECT count(*) FROM pg_proc WHERE proname LIKE '%predict%' OR proname LIKE 'automl%'}),
	0, 'and no functions');
$node->stop;

done_testing();
