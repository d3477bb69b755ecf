# ALTER EXTENSION UPDATE from every released version: what it leaves is what a fresh installation has, down to comments,
# privileges and properties of functions, and models predict as before.
#
# The install script of a release is kept, as it was, in test/upgrade; the scripts that lead on from it are in sql/upgrade.
# Since a comparison that sees nothing would pass always, it is also shown scripts that forget one thing each.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PostgreSQL::Test::RecursiveCopy;
use File::Basename;
use Test::More;
use PgmlTest;

my $top = "$FindBin::RealBin/../..";
my ($current) = slurp_file("$top/pgml_auto.control") =~ /^default_version\s*=\s*'(.*)'/m;

# A server with a stage of its own, into which scripts can be put.
my $stage = PostgreSQL::Test::Utils::tempdir . '/stage';
PostgreSQL::Test::RecursiveCopy::copypath($ENV{PGML_STAGE}, $stage);
my ($scripts) = map { dirname($_) } glob "$stage/usr/share/postgresql/*/extension/pgml_auto.control";
my $node = PostgreSQL::Test::Cluster->new('upgrade');
$node->init;
configure_server($node, $stage);
$node->start;

# What the catalogs know of the extension in a database, as a list of lines.
sub catalog
{
	my ($database) = @_;
	return [ split /\n/, $node->safe_psql($database, slurp_file("$FindBin::RealBin/lib/extension_catalog.sql")) ];
}

# Lines of one list that the other has not, both ways.
sub difference
{
	my ($got, $wanted) = @_;
	my %got = map { $_ => 1 } @$got;
	my %wanted = map { $_ => 1 } @$wanted;
	return join "\n", (map { "+ $_" } grep { !$wanted{$_} } @$got), (map { "- $_" } grep { !$got{$_} } @$wanted);
}

$node->safe_psql('postgres', 'CREATE EXTENSION pgml_auto');
my $fresh = catalog('postgres');
cmp_ok(scalar @$fresh, '>', 100, 'the catalogs know of the extension');
is($node->safe_psql('postgres', q{SELECT extversion FROM pg_extension WHERE extname = 'pgml_auto'}), $current, 'in its current version');

# ---- releases -------------------------------------------------------------------------------

my @released = grep { $_ ne $current } slurp_file("$top/docs/CHANGELOG.md") =~ /^## (\d+\.\d+\.\d+)\b/mg;
note 'released before: ' . (@released ? "@released" : 'nothing');
foreach my $version (@released)
{
	my $script = "pgml_auto--$version.sql";
	ok(-e "$top/test/upgrade/$script", "the install script of $version is kept in test/upgrade") or next;
	append_to_file("$scripts/$script", slurp_file("$top/test/upgrade/$script"));
	my $database = 'from_' . $version =~ tr/./_/r;
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, "CREATE EXTENSION pgml_auto VERSION '$version'");
	create_small_table($node, $database);
	$node->safe_psql($database, q{SELECT version FROM automl_train('kept', 'points', 'y', max_trials => 1)});
	my $predict = q{SELECT md5(string_agg(predict_value('kept', p)::text, ',' ORDER BY x, y)) FROM points p};
	my $expected = $node->safe_psql($database, $predict);
	$node->safe_psql($database, 'ALTER EXTENSION pgml_auto UPDATE');
	is(difference(catalog($database), $fresh), '', "$version updated is $current");
	is($node->safe_psql($database, $predict), $expected, "$version updated predicts the same");
	is($node->safe_psql($database, q{SELECT version FROM automl_train('kept', max_trials => 1)}), 2, "$version updated trains");
	is(registry_problems($node, $database), '', "$version updated has a whole registry");
}

# ---- the comparison itself ------------------------------------------------------------------

# A made-up former version: no leaderboard function, no reasons in the history of deployments, one comment less, a view of less.
my $script = slurp_file("$scripts/pgml_auto--$current.sql");
my ($leaderboard) = $script =~ /^(CREATE FUNCTION \@extschema\@\.automl_leaderboard.*?;\nCOMMENT ON FUNCTION.*?;\n)/ms;
my ($last_view) = $script =~ /^(CREATE VIEW pgml_auto\.deployment .*?;\n)/ms;
(my $former_view = $last_view) =~ s/, p\.reason\n/\n/;
(my $former = $script) =~ s/\Q$leaderboard\E//;
$former =~ s/\Q$last_view\E/$former_view/;
$former =~ s/,\n    reason +text NOT NULL\n\)/\n)/;
$former =~ s/^COMMENT ON TABLE pgml_auto\.audit.*?;\n//m;
$former =~ s/^SELECT pg_catalog\.pg_extension_config_dump\('pgml_auto\.grants', ''\);\n//m;
$former =~ s/^ALTER TABLE pgml_auto\.deployed ENABLE ALWAYS.*?;\n//m;
$former =~ s/^    metric, pgml_auto|pgml_auto\.metric, (?=pgml_auto\.deployment)//m;
append_to_file("$scripts/pgml_auto--0.0.1.sql", $former);

# What leads to the present one.
(my $new_view = $last_view) =~ s/^CREATE VIEW/CREATE OR REPLACE VIEW/;
my @delta = (
	$leaderboard,
	'ALTER TABLE pgml_auto.deployments ADD COLUMN reason text NOT NULL;',
	$new_view,
	q{COMMENT ON TABLE pgml_auto.audit IS 'every change of the registry';},
	q{SELECT pg_catalog.pg_extension_config_dump('pgml_auto.grants', '');},
	'ALTER TABLE pgml_auto.deployed ENABLE ALWAYS TRIGGER deployed_changed;',
	'GRANT SELECT ON pgml_auto.metric TO PUBLIC;');

# Update a database of its own by a delta; what then differs.
my $updates = 0;

sub differs_after
{
	my (@statements) = @_;
	my $database = 'update_' . ++$updates;
	unlink "$scripts/pgml_auto--0.0.1--$current.sql";
	append_to_file("$scripts/pgml_auto--0.0.1--$current.sql", join "\n", @statements);
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, "CREATE EXTENSION pgml_auto VERSION '0.0.1'; ALTER EXTENSION pgml_auto UPDATE");
	return difference(catalog($database), $fresh);
}

is(differs_after(@delta), '', 'a delta that forgets nothing is seen to');
foreach my $forgotten (0 .. $#delta)
{
	next if $forgotten == 1;    # the view needs the column
	my @rest = @delta;
	splice @rest, $forgotten, 1;
	my ($name) = $delta[$forgotten] =~ /^(.{0,60})/;
	isnt(differs_after(@rest), '', "noticed when forgotten: $name");
}
(my $careless = $leaderboard) =~ s/PARALLEL SAFE/PARALLEL UNSAFE/;
like(differs_after($careless, @delta[ 1 .. $#delta ]), qr/automl_leaderboard/, 'noticed: another property of a function');
like(differs_after(@delta, 'REVOKE EXECUTE ON FUNCTION public.automl_drop(text) FROM PUBLIC;'), qr/automl_drop/, 'noticed: another privilege');
like(differs_after(@delta, 'CREATE FUNCTION public.left_over() RETURNS int LANGUAGE sql RETURN 1;'), qr/left_over/, 'noticed: what is left over');
$node->stop;

done_testing();
