# Without OpenBLAS: training goes on without the learners that need it, and says which package is missing; nothing else is an
# error unless nothing else was asked for; predictions never needed it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PgmlTest;

my $compiler = (grep { -x "$_/cc" } split /:/, $ENV{PATH})[0];
plan skip_all => 'no C compiler to make a library that is not OpenBLAS' unless $compiler;

# Libraries of OpenBLAS's name that lack all of it, or lack even the format of a library, found before the real one.
my $hollow = PostgreSQL::Test::Utils::tempdir;
append_to_file("$hollow/hollow.c", "int not_openblas;\n");
system_or_bail("$compiler/cc", '-shared', '-fPIC', '-o', "$hollow/libopenblas.so.0", "$hollow/hollow.c");
my $damaged = PostgreSQL::Test::Utils::tempdir;
append_to_file("$damaged/libopenblas.so.0", "not a library\n");

my $node = new_server('openblas');
create_small_table($node);
my $lines = q{SELECT version FROM automl_train('%s', 'points', 'y', algorithms => '{linear}', max_trials => 2)};
$node->safe_psql('postgres', sprintf($lines, 'with'));
my $predict = q{SELECT md5(string_agg(predict_value('with', p)::text, ',' ORDER BY x, y)) FROM points p};
my $expected = $node->safe_psql('postgres', $predict);

# Run SQL with SQLSTATEs; returns what came on standard output and error.
sub say_all
{
	my ($sql) = @_;
	my ($code, $out, $error) = $node->psql('postgres', "\\set VERBOSITY verbose\nSET client_min_messages = notice;\n$sql");
	return ($out, $error);
}

foreach my $case ([ 'hollow', $hollow ], [ 'damaged', $damaged ])
{
	my ($name, $directory) = @$case;
	{
		local $ENV{LD_LIBRARY_PATH} = $directory;
		$node->restart;
	}
	my $before = registry_counts($node);
	my ($out, $error) = say_all(sprintf($lines, 'without'));
	like($error, qr/ERROR:  58P01: /, "$name: linear alone is an error");
	like($error, qr/libopenblas0/, "$name: which names the package");
	is(registry_counts($node), $before, "$name: and stores nothing");
	is($node->safe_psql('postgres', $predict), $expected, "$name: a linear model predicts all the same");

	($out, $error) = say_all(qq{SELECT algorithm FROM automl_train('without_$name', 'points', 'y', max_trials => 1)});
	is($out, 'gradient_boosting', "$name: other learners are tried");
	like($error, qr/WARNING: .*(?:linear|OpenBLAS).*libopenblas0/s, "$name: with a warning that names the package");
	unlike($error, qr/ERROR/, "$name: and no error");
	is($node->safe_psql('postgres', "SELECT string_agg(status, ',' ORDER BY status) FROM pgml_auto.trial WHERE model = 'without_$name' AND algorithm = 'linear'"),
		'skipped', "$name: the trial says that it was skipped");
}

# Found again after the next start.
$node->restart;
is($node->safe_psql('postgres', sprintf($lines, 'again')), 1, 'with the library everything is as usual');
$node->stop;

done_testing();
