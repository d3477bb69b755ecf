# Memory: sessions do not grow with predictions or trainings, a training keeps to pgml_auto.max_memory, and every allocation
# of the library may fail without harm.  LEAK_ROUNDS says how many trainings, and thousands of predictions.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use List::Util qw(max);
use PgmlTest;

my $rounds = $ENV{LEAK_ROUNDS} || 10;

my $node = new_server('memory');
$node->append_conf('postgresql.conf', 'client_min_messages = error');
$node->reload;
$node->safe_psql('postgres', q{
	CREATE TABLE mixed AS
	SELECT i AS id, (i * 7919) % 61 AS n, 'k' || i % 5 AS k, date '2024-01-01' + i % 300 AS d, (i % 3 = 0) AS b,
		jsonb_build_object('a', i % 7) AS j, repeat('word ' || i % 9 || ' ', 1 + i % 4) AS t, (i * 7919) % 61 * 2 + i % 5 AS y
	FROM generate_series(1, 250) i;
	CREATE TABLE wide AS
	SELECT i AS id, i % 97 AS y, a.* FROM generate_series(1, 20000) i, LATERAL (SELECT } .
	join(', ', map { "hashint4(i * 7 + $_) AS c$_" } 1 .. 60) . q{) a;
	CREATE TABLE texts AS
	SELECT i AS id, repeat(md5(i::text), 10) AS t, md5((i / 2)::text) AS code, i % 13 AS n, i % 13 * 2 AS y FROM generate_series(1, 40000) i;
	CREATE TABLE classes AS
	SELECT i AS id, (i * 7919) % 1009 AS n, 'c' || (i * 7919) % 1009 / 10 AS y, i % 7 AS m FROM generate_series(1, 20000) i});

# ---- no growth ------------------------------------------------------------------------------

# A number of kilobytes from /proc/PID/status.
sub kilobytes
{
	my ($pid, $field) = @_;
	my ($value) = slurp_file("/proc/$pid/status") =~ /^$field:\s+(\d+) kB/m;
	return $value;
}

# How many pieces of memory a process has mapped.
sub mappings
{
	my ($pid) = @_;
	return scalar(my @lines = split /\n/, slurp_file("/proc/$pid/maps"));
}

# Run statements in one session, first to warm up and then again and again; what it has grown by, in kilobytes: all of its
# memory, and that of memory contexts; and how many mappings more it has.  A cache of size 0 keeps no model that is not in use, however many there have been.
sub growth
{
	my ($cache, $times, @statements) = @_;
	my $warm = 10;
	my $session = $node->background_psql('postgres');
	my $pid = $session->query_safe("SET pgml_auto.model_cache_size = '$cache'; SELECT pg_backend_pid()");
	# One list of statements per query, so that there is one answer.
	my $all = join '; ', @statements, 'SELECT sum(total_bytes) / 1024 AS kb FROM pg_backend_memory_contexts';
	my @contexts;
	my ($resident, $mappings);
	foreach my $round (1 .. $warm + $times)
	{
		my ($kb) = $session->query_safe($all) =~ /(\d+)(?:\.\d+)?\s*\z/;
		push @contexts, $kb if $round >= $warm;
		($resident, $mappings) = (kilobytes($pid, 'RssAnon'), mappings($pid)) if $round == $warm;
	}
	$mappings = mappings($pid) - $mappings;
	$resident = kilobytes($pid, 'RssAnon') - $resident;
	$session->quit;
	return ($resident, $contexts[-1] - $contexts[0], $mappings);
}

my $train = q{SELECT count(*) FROM automl_train('%s', 'mixed', '%s', algorithms => '{%s}', max_trials => 1, exclude => '{%s}', seed => %d)};
$node->safe_psql('postgres', join ';', sprintf($train, 'number', 'y', 'linear', 'id', 1), sprintf($train, 'trees', 'y', 'gradient_boosting', 'id', 1),
	sprintf($train, 'two', 'b', 'linear,gradient_boosting', 'id', 1), sprintf($train, 'five', 'k', 'linear,gradient_boosting', 'id', 1),
	sprintf($train, 'two', 'b', 'gradient_boosting', 'id', 2),
	q{SELECT version FROM automl_train('large', 'SELECT * FROM wide LIMIT 3000', 'y', algorithms => '{gradient_boosting}', max_trials => 1)});
cmp_ok($node->safe_psql('postgres', q{SELECT image_bytes FROM pgml_auto.version WHERE model = 'large'}), '>', 32_768, 'one model is large enough to be shared');

# 1000 predictions: 250 rows, as records and documents, through all verbs and with all models; one of them is replaced.
my @predictions = (
	q{SELECT count(predict('number', m)), count(predict_value('trees', to_jsonb(m))) FROM mixed m WHERE id <= 125},
	q{SELECT count(predict('two', m)), count(predict_proba('two', to_jsonb(m))), count(predict_probs('five', m)) FROM mixed m WHERE id <= 125},
	q{SELECT count(i.upper), count(predict_set('five', m, 0.99)) FROM mixed m, predict_interval('number', m) i WHERE id <= 125},
	q{SELECT count(predict('five', to_jsonb(m)::text)), count(predict_value('number', m)), count(predict_probs('two', to_jsonb(m)::json)) FROM mixed m
		WHERE id <= 100},
	q{SELECT count(*) FROM predict_table('large', 'SELECT * FROM wide LIMIT 75')},
	q{SELECT automl_deploy('two', 3 - (SELECT deployed FROM pgml_auto.model WHERE name = 'two'))});
my ($resident, $contexts, $mappings);
foreach my $how ('not preloaded', 'preloaded')
{
	if ($how eq 'preloaded')
	{
		$node->append_conf('postgresql.conf', preload_setting($node));
		$node->restart;
	}
	foreach my $cache ('64MB', '0')
	{
		($resident, $contexts, $mappings) = growth($cache, $rounds, @predictions);
		note "$how, cache $cache: after 1000 * $rounds predictions: $resident kB more, contexts $contexts kB more, $mappings mappings";
		cmp_ok($resident, '<', 1024, "$how, cache $cache: predictions do not make a session grow");
		cmp_ok($contexts, '<', 128, "$how, cache $cache: nor its memory contexts");
		cmp_ok($mappings, '<', 10, "$how, cache $cache: nor its mappings");
	}
}

my @trainings = (sprintf($train, 'number', 'y', 'linear', 'id', 2), sprintf($train, 'two', 'b', 'gradient_boosting', 'id', 3),
	q{DO $$ BEGIN PERFORM automl_train('number', 'mixed', 'y', exclude => '{nothing}'); EXCEPTION WHEN undefined_column THEN NULL; END $$},
	q{SELECT count(predict('number', m)) FROM mixed m}, q{SELECT automl_drop('two@' || min(version)) FROM pgml_auto.version WHERE model = 'two'
		AND NOT deployed HAVING count(*) > 0});
($resident, $contexts, $mappings) = growth(0, $rounds, @trainings);
note "after 2 * $rounds trainings and as many that fail: $resident kB more, contexts $contexts kB more, $mappings mappings";
cmp_ok($mappings, '<', 10, 'nor its mappings');
cmp_ok($resident, '<', 2048, 'trainings do not make a session grow');
cmp_ok($contexts, '<', 128, 'nor its memory contexts');
is(registry_problems($node), '', 'the registry is whole');

# ---- little memory --------------------------------------------------------------------------

# With the least that can be set, each table is learned by a sample or a simpler plan, or refused; the process takes little more.
foreach my $case ([ 'wide', 'y' ], [ 'texts', 'y' ], [ 'classes', 'y' ])
{
	my ($table, $target) = @$case;
	foreach my $megabytes (16, 64)
	{
		my $session = $node->background_psql('postgres', on_error_stop => 0);
		my $pid = $session->query_safe("SET pgml_auto.max_memory = '${megabytes}MB'; SET pgml_auto.max_threads = 2; SELECT pg_backend_pid()");
		$session->query_safe("SELECT count(*) FROM $table");    # so that shared buffers count as before
		my $least = kilobytes($pid, 'VmHWM');
		my $before = registry_counts($node);
		my $answer = $session->query("\\set VERBOSITY verbose\nSELECT 'trained on ' || \"rows\" || ' by ' || algorithm"
			  . " FROM automl_train('$table $megabytes', '$table', '$target', max_trials => 2, time_budget => '10 s')");
		my ($state) = $session->{stderr} =~ /ERROR:  (\w{5}): .*/;
		my $peak = kilobytes($pid, 'VmHWM') - $least;
		note "$table, $megabytes MB: ", $answer || $session->{stderr}, ", $peak kB";
		ok($answer =~ /^trained on \d+/ || ($state eq '53400' && $session->{stderr} =~ /HINT: .*max_memory/), "$table in $megabytes MB: a model, or a hint");
		is(registry_counts($node) eq $before, $answer eq '', "$table in $megabytes MB: stored or not at all");
		# Beside the memory counted: OpenBLAS and its buffers, stacks, memory of the executor.
		cmp_ok($peak, '<', 1024 * ($megabytes + 48), "$table in $megabytes MB: not much more is used");
		$session->quit;
	}
}
is(registry_problems($node), '', 'the registry is whole');

# ---- no memory ------------------------------------------------------------------------------

my $compiler = (grep { -x "$_/cc" } split /:/, $ENV{PATH})[0];
SKIP:
{
	skip 'no C compiler to make an allocator that fails', 1 unless $compiler;
	my $directory = PostgreSQL::Test::Utils::tempdir;
	system_or_bail("$compiler/cc", '-O1', '-shared', '-fPIC', '-o', "$directory/failing_malloc.so", "$FindBin::RealBin/lib/failing_malloc.c");
	$ENV{FAILING_MALLOC} = "$directory/at";
	{
		local $ENV{LD_PRELOAD} = "$directory/failing_malloc.so";
		$node->restart;
	}

	# Run a statement of which one allocation fails, the at-th of our library; SQLSTATE ('00000': none), messages, allocations.
	my $run_failing = sub {
		my ($at, $sql) = @_;
		unlink "$directory/at", "$directory/at.count";
		my ($code, $out, $error) = $node->psql('postgres',
			"\\set VERBOSITY verbose\nSELECT pgml_auto.higher_is_better('rmse');\n\\! echo $at > $directory/at\n$sql;\nSELECT 'goes on';", on_error_stop => 0);
		my ($state) = $error =~ /ERROR:  (\w{5}):/;
		wait_until(sub { -s "$directory/at.count" });
		return ($state // '00000', $error, slurp_file("$directory/at.count"), $out =~ /goes on/);
	};

	my %statements = (
		'a training' => q{SELECT version FROM automl_train('failing', 'mixed', 'k', max_trials => 2, exclude => '{id}', hyperparams => '{"n_estimators": 20}')},
		'a regression' => q{SELECT version FROM automl_train('failing y', 'SELECT * FROM mixed', 'y', algorithms => '{linear}', max_trials => 2)},
		'a prediction' => q{SELECT predict('five', m), predict_probs('two', to_jsonb(m)) FROM mixed m LIMIT 2},
		'a table' => q{SELECT count(*) FROM predict_table('trees', 'mixed')});
	foreach my $name (sort keys %statements)
	{
		my ($state, $error, $count, $on) = $run_failing->(1_000_000_000, $statements{$name});
		is($state, '00000', "$name: without a failure all is well") or diag $error;
		my $step = max(1, int($count / (2 * $rounds)));
		my (%states, @wrong);
		for (my $at = 1; $at <= $count; $at += $step)
		{
			($state, $error, undef, $on) = $run_failing->($at, $statements{$name});
			$states{$state}++;
			push @wrong, "at $at of $count: $state $error\n" unless $on && ($state eq '00000' || ($state eq '53200' && $error =~ /memory/));
		}
		note "$name: $count allocations; ", join ', ', map { "$_: $states{$_}" } sort keys %states;
		is("@wrong", '', "$name: an allocation that fails is an error that says so, at most");
	}
	unlink "$directory/at";
	is(registry_problems($node), '', 'the registry is whole');
	unlike(slurp_file($node->logfile), qr/(?:PANIC|terminated by signal|TRAP)/, 'no process has died');
}
$node->stop;

done_testing();
