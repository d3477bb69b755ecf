# A training that is stopped at any moment leaves the registry whole: in the background by automl_cancel or by terminating its worker, in
# the foreground by statement_timeout.  STOP_ROUNDS says how often (20).
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use PgmlTest;

my $rounds = $ENV{STOP_ROUNDS} || 20;
my $seed = $ENV{STOP_SEED} || 42;
srand $seed;
note "seed $seed";

my $node = new_server('stopped');
create_small_table($node);
$node->safe_psql('postgres', q{
	CREATE TABLE numbers AS SELECT i AS id, i % 83 AS a, i % 79 AS b, 'k' || i % 7 AS c, i % 83 * (i % 79) AS y FROM generate_series(1, 3000) i;
	SELECT version FROM automl_train('kept', 'points', 'y', max_trials => 1)});

# Some tenths of a second of reading, fitting, storing and deploying; a new model, or a new version of one.
my $call = q{automl_train('%s', %s, max_trials => 1, algorithms => '{gradient_boosting}', options => '{"folds": 1}',
	hyperparams => '{"n_estimators": 40}', background => %s)};

# What a training may end as, and what it has left: a version when it succeeded, else nothing.
my %ends;
my $versions = 'SELECT count(*) FROM pgml_auto.version';
my $before = $node->safe_psql('postgres', $versions);

# The longest time a training takes here: moments are random up to it, and a little more.
my $span = $node->safe_psql('postgres', sprintf q{SELECT (extract(epoch FROM clock_timestamp() - now()) * 1.1e6)::int FROM %s}, sprintf $call, 'timed', q{'numbers', 'y'}, 'false');
$before++;

sub stop_in_background
{
	my ($model, $data, $how) = @_;
	my $job = $node->safe_psql('postgres', 'SELECT job FROM ' . sprintf $call, $model, $data, 'true');
	usleep(int rand $span);
	$node->safe_psql('postgres', $how eq 'cancel' ? "SELECT automl_cancel($job)" : "SELECT pg_terminate_backend(pid, 60000) FROM pgml_auto.jobs WHERE job = $job AND pid IS NOT NULL");
	my $state = $node->safe_psql('postgres', "SELECT automl_wait($job, '100 s')");
	is($node->safe_psql('postgres', "SELECT version IS NOT NULL FROM pgml_auto.jobs WHERE job = $job"), $state eq 'succeeded' ? 't' : 'f', "$how: $state");
	return $state;
}

sub stop_in_foreground
{
	my ($model, $data) = @_;
	my $ms = 1 + int(rand($span) / 1000);
	my ($code, $out, $error) = $node->psql('postgres', "SET statement_timeout = '$ms ms'; SELECT version FROM " . sprintf $call, $model, $data, 'false');
	like($error, qr/^$|canceling statement due to statement timeout/, "statement_timeout: $code");
	return $code == 0 ? 'succeeded' : 'cancelled';
}

foreach my $round (1 .. $rounds)
{
	my ($model, $data) = $round % 2 ? ("new $round", q{'numbers', 'y'}) : ('timed', 'NULL');
	my $state = $round % 4 == 3 ? stop_in_foreground($model, $data) : stop_in_background($model, $data, $round % 5 ? 'cancel' : 'terminate');

	$ends{$state}++;
	like($state, qr/^(cancelled|succeeded|interrupted)$/, "round $round: $state");
	$before++ if $state eq 'succeeded';
	is($node->safe_psql('postgres', $versions), $before, 'a version when it succeeded, else none');
	is(registry_problems($node), '', 'the registry is whole');
}
note join ', ', map { "$_: $ends{$_}" } sort keys %ends;
ok($ends{cancelled}, 'some were stopped');
is($node->safe_psql('postgres', q{SELECT version FROM automl_train('kept', max_trials => 1)}), 2, 'and models go on');
$node->stop;

done_testing();
