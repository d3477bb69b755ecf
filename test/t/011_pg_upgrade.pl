# pg_upgrade from an older major version takes models along: they predict the same and are trained on.
#
# PGML_OLD_BINDIR is the older server's directory of programs, PGML_OLD_STAGE the extension built for it; PostgreSQL's
# packages of two major versions are rarely there at once.  Before 18 functions name their library with $libdir/, which 18 looks up
# only among its own libraries, whatever its settings are: there the extension must be installed, too.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Cwd;
use File::Basename;
use Test::More;
use PgmlTest;

my ($bindir, $stage) = @ENV{qw(PGML_OLD_BINDIR PGML_OLD_STAGE)};
plan skip_all => 'PGML_OLD_BINDIR and PGML_OLD_STAGE do not name an older server and its extension' unless $bindir && $stage;

my $new = PostgreSQL::Test::Cluster->new('new');
my ($libdir) = run_command([ $ENV{PG_CONFIG} // 'pg_config', '--pkglibdir' ]);
plan skip_all => "there is no pgml_auto.so in $libdir" if $new->pg_version >= 18 && !-e "$libdir/pgml_auto.so";

my @encoding = ('-E', 'UTF8', '--locale=C.UTF-8');
my $old = PostgreSQL::Test::Cluster->new('old', install_path => dirname($bindir));
$old->init(extra => \@encoding);
configure_server($old, $stage);
$old->start;
note 'from ' . $old->safe_psql('postgres', 'SHOW server_version');
$old->safe_psql('postgres', 'CREATE SCHEMA ml; CREATE EXTENSION pgml_auto SCHEMA ml');
create_small_table($old);
$old->safe_psql('postgres', q{
	CREATE ROLE analyst LOGIN;
	GRANT USAGE ON SCHEMA ml TO analyst;
	SELECT version FROM ml.automl_train('kept', 'points', 'y', max_trials => 2);
	SELECT version FROM ml.automl_train('kept', max_trials => 1);
	SELECT version FROM ml.automl_train('text', $$SELECT 'k' || x % 7 AS k, date '2024-01-01' + x AS d, CASE WHEN x > 30 THEN 'yes' ELSE 'no' END AS y FROM points$$, 'y', max_trials => 2);
	SELECT ml.automl_grant('kept', 'analyst');
	SELECT ml.automl_predict_view('kept', 'points', 'answers')});

my @queries = (
	q{SELECT md5(string_agg(ml.predict_value('kept', p)::text, ',' ORDER BY x, y)) FROM points p},
	q{SELECT md5(string_agg(ml.predict_proba('text', to_jsonb(t))::text, ',' ORDER BY x)) FROM (SELECT x, 'k' || x % 7 AS k, date '2024-01-01' + x AS d FROM points) t},
	'SELECT md5(string_agg(prediction::text, \',\' ORDER BY x, y)) FROM answers',
	map { "SELECT '$_ ' || md5(string_agg(v::text, ',' ORDER BY v::text)) FROM pgml_auto.$_ v" }
	  qw(model version trial leaderboard metric deployment model_grant audit_log));
my @before = map { $old->safe_psql('postgres', $_) } @queries;
$old->stop;

my @checksums = $new->pg_version >= 18 && $old->pg_version < 18 ? ('--no-data-checksums') : ();
$new->init(extra => [ @encoding, @checksums ]);
configure_server($new);
my ($new_bindir) = run_command([ $ENV{PG_CONFIG} // 'pg_config', '--bindir' ]);
my $here = getcwd();
chdir $new->basedir or die "chdir: $!";    # pg_upgrade leaves its logs in the current directory
$new->command_ok([ "$new_bindir/pg_upgrade", '--no-sync', '-d', $old->data_dir, '-D', $new->data_dir, '-b', $bindir, '-B', $new_bindir,
		'-s', $new->host, '-p', $old->port, '-P', $new->port ], 'pg_upgrade');
chdir $here or die "chdir: $!";
$new->start;
note 'to ' . $new->safe_psql('postgres', 'SHOW server_version');
is($new->safe_psql('postgres', $queries[$_]), $before[$_], "the same as before: $queries[$_]") foreach 0 .. $#queries;
is(registry_problems($new), '', 'the registry is whole');
is($new->safe_psql('postgres', q{SELECT count(ml.predict('kept', '{"x": 1}'::jsonb))}, extra_params => [ '-U', 'analyst' ]), 1, 'privileges are kept');
is($new->safe_psql('postgres', q{SELECT version FROM ml.automl_train('kept', max_trials => 1)}), 3, 'training goes on');
is($new->safe_psql('postgres', q{SELECT version FROM ml.automl_train('fresh', 'points', 'y', max_trials => 1)}), 1, 'with new models, too');
is(registry_problems($new), '', 'the registry is whole afterwards');
$new->stop;

done_testing();
