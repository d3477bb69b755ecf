# pg_dump carries models: restored, they predict the same, and training goes on where it was.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PgmlTest;

my $node = new_server('backup');
create_small_table($node);
$node->safe_psql('postgres', q{
	CREATE ROLE dumped_owner LOGIN;
	CREATE ROLE dumped_reader LOGIN;
	GRANT ALL ON SCHEMA public TO dumped_owner;
	GRANT SELECT ON points TO dumped_owner, dumped_reader;
	SET ROLE dumped_owner;
	SELECT version FROM automl_train('kept', 'points', 'y', max_trials => 1, seed => 3);
	SELECT version FROM automl_train('kept');
	SELECT automl_grant('kept', 'dumped_reader');
	SELECT version FROM automl_train('Other "Name"', 'SELECT * FROM points', 'y', max_trials => 1, algorithms => '{linear}');
	SELECT automl_drop('Other "Name"');
	SELECT version FROM automl_train('Other "Name"', 'SELECT * FROM points', 'y', max_trials => 1, algorithms => '{linear}')});

my $predictions = q{SELECT md5(string_agg(predict_value('kept', p)::text, ',' ORDER BY x, y)) FROM points p};
my $registry = join ' UNION ALL ',
  map { "SELECT '$_ ' || md5(string_agg(v::text, ',' ORDER BY v::text)) FROM pgml_auto.$_ v" }
  qw(model version trial leaderboard metric deployment model_grant audit_log);
my %original = map { $_ => $node->safe_psql('postgres', $_) } $predictions, $registry;

# Compare a restored database with the original.
sub check_same
{
	my ($database, $how) = @_;
	is($node->safe_psql($database, $predictions), $original{$predictions}, "$how: predictions are the same");
	is($node->safe_psql($database, $registry), $original{$registry}, "$how: all views show the same");
	is(registry_counts($node, $database), registry_counts($node), "$how: all rows are there");
	is(registry_problems($node, $database), '', "$how: the registry is whole");
	is($node->safe_psql($database, q{SELECT identical FROM automl_reproduce('kept@1')}), 't', "$how: a version is made again, to the last byte");
	return;
}

# What a dump must carry beside rows: sequences go on, and so do version numbers.
sub check_goes_on
{
	my ($database, $how) = @_;
	is($node->safe_psql($database, q{SELECT version FROM automl_train('kept', max_trials => 1)},
			extra_params => [ '-U', 'dumped_owner' ]),
		3, "$how: training again makes the next version");
	is($node->safe_psql($database, q{SELECT version, deployed FROM automl_train('fresh', 'points', 'y', max_trials => 1)}),
		'1|t', "$how: a new model finds no key taken");
	is($node->safe_psql($database, q{SELECT automl_deploy('kept', 1)}), 1, "$how: an old version is deployed");
	is($node->safe_psql($database, q{SELECT count(predict('kept', p)) FROM points p}, extra_params => [ '-U', 'dumped_reader' ]),
		120, "$how: privileges are kept");
	return;
}

my $dump = $node->basedir . '/models.dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'postgres' ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored TEMPLATE template0');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', 'restored', $dump ], 'pg_restore');
check_same('restored', 'custom format');
check_goes_on('restored', 'custom format');

# In one transaction, as plain SQL.
my $script = $node->basedir . '/models.sql';
$node->command_ok([ 'pg_dump', '-f', $script, 'postgres' ], 'pg_dump as SQL');
$node->safe_psql('postgres', 'CREATE DATABASE replayed TEMPLATE template0');
$node->command_ok([ 'psql', '-X', '-q', '-1', '-v', 'ON_ERROR_STOP=1', '-d', 'replayed', '-f', $script ], 'psql -1');
check_same('replayed', 'plain SQL');

# Several at a time, so that no order of tables is relied upon.
my $directory = $node->basedir . '/models.dir';
$node->command_ok([ 'pg_dump', '-Fd', '-j', '2', '-f', $directory, 'postgres' ], 'pg_dump -j');
$node->safe_psql('postgres', 'CREATE DATABASE parallel TEMPLATE template0');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-j', '2', '-d', 'parallel', $directory ], 'pg_restore -j');
check_same('parallel', 'parallel');

# Data alone, into a database that has the extension; a session that has predicted there sees what arrives.
$node->safe_psql('postgres', 'CREATE DATABASE filled TEMPLATE template0');
$node->safe_psql('filled', 'CREATE EXTENSION pgml_auto; CREATE TABLE points (x int, y int); GRANT SELECT ON points TO dumped_owner, dumped_reader');
my $session = $node->background_psql('filled', on_error_stop => 0);
$session->query(q{SELECT predict('kept', '{"x": 1}'::jsonb)});
like($session->{stderr}, qr/model "kept" does not exist/, 'nothing is there before');
$session->{stderr} = '';
$node->command_ok([ 'pg_restore', '--exit-on-error', '--data-only', '-d', 'filled', $dump ], 'pg_restore --data-only');
like($session->query_safe(q{SELECT predict_value('kept', '{"x": 1}'::jsonb) > 0}), qr/^t$/m,
	'a session that is there already predicts with it');
$session->quit;
check_same('filled', 'data only');
check_goes_on('filled', 'data only');

# Schema alone: an empty registry.
$node->safe_psql('postgres', 'CREATE DATABASE bare TEMPLATE template0');
$node->command_ok([ 'pg_dump', '-s', '-Fc', '-f', "$dump.s", 'postgres' ], 'pg_dump --schema-only');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', 'bare', "$dump.s" ], 'its restore');
is($node->safe_psql('bare', 'SELECT count(*) FROM pgml_auto.models'), 0, 'has no models');

# Another server, where the owner's role does not exist: a superuser manages the model.
my $other = new_server('other', extension => 0);
$other->safe_psql('postgres', 'CREATE ROLE passerby LOGIN');
$other->command_ok([ 'pg_restore', '--exit-on-error', '--no-owner', '--no-acl', '-d', 'postgres', $dump ],
	'restored where the roles are missing');
is($other->safe_psql('postgres', $predictions), $original{$predictions}, 'predictions are the same there');
is($other->safe_psql('postgres', 'SELECT name, owner FROM pgml_auto.model ORDER BY name LIMIT 1'),
	'Other "Name"|dumped_owner', 'the owner is kept by name');
my ($code, $out, $error) = $other->psql('postgres', q{SELECT predict('kept', '{"x": 1}'::jsonb)}, extra_params => [ '-U', 'passerby' ]);
like($error, qr/permission denied for model "kept"/, 'nobody else has come to rights on it');
($code, $out, $error) = $other->psql('postgres', q{SELECT * FROM automl_train('kept', max_trials => 1)});
like($error, qr/role "dumped_owner", owner of model "kept", no longer exists/, 'its stored query runs as nobody else');
is($other->safe_psql('postgres', q{SELECT version FROM automl_train('kept', 'points', 'y', max_trials => 1)}),
	3, 'with data given, a superuser trains it');
$other->safe_psql('postgres', 'CREATE ROLE dumped_owner LOGIN; CREATE ROLE dumped_reader LOGIN');
foreach my $role (qw(dumped_owner dumped_reader))
{
	is($other->safe_psql('postgres', q{SELECT count(predict('kept', '{"x": 1}'::jsonb))}, extra_params => [ '-U', $role ]),
		1, "once it exists, $role has its rights again");
}
is(registry_problems($other), '', 'the registry is whole there');

done_testing();
