# Whatever documents of settings and of features a client sends, the server lives and answers with a result or with an
# error that is the client's, never an internal one.  HOSTILE_DOCUMENTS says how many, HOSTILE_SEED which.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PgmlTest;

my $documents = $ENV{HOSTILE_DOCUMENTS} || 4000;
srand($ENV{HOSTILE_SEED} || 42);

my $node = new_server('hostile');
# A statement that hangs is an answer of its own (57014); on a busy machine none that works may take as long.
$node->append_conf('postgresql.conf', "statement_timeout = '${PostgreSQL::Test::Utils::timeout_default}s'\nmax_stack_depth = '2MB'");
$node->reload;
$node->safe_psql('postgres', q{
	CREATE TABLE mixed AS
	SELECT i AS id, (i * 7919) % 61 AS n, 'k' || i % 5 AS k, date '2024-01-01' + i % 300 AS d, (i % 3 = 0) AS b,
		jsonb_build_object('a', i % 7) AS j, repeat('word ' || i % 9 || ' ', 1 + i % 4) AS t, (i * 7919) % 61 * 2 + i % 5 AS y
	FROM generate_series(1, 150) i;
	SELECT version FROM automl_train('linear', 'mixed', 'y', algorithms => '{linear}', max_trials => 1);
	SELECT version FROM automl_train('trees', 'mixed', 'y', algorithms => '{gradient_boosting}', max_trials => 1);
	SELECT version FROM automl_train('binary', 'mixed', 'b', max_trials => 1, exclude => '{y}');
	SELECT version FROM automl_train('classes', 'mixed', 'k', max_trials => 2);
	-- Run a statement that may fail; its SQLSTATE, and the message of one that should not be.
	CREATE FUNCTION attempt(statement text) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		EXECUTE statement;
		RETURN '00000';
	EXCEPTION WHEN query_canceled OR assert_failure OR OTHERS THEN
		RETURN SQLSTATE || ' ' || SQLERRM;
	END $$});

# ---- documents ------------------------------------------------------------------------------

sub any { return $_[ int rand @_ ]; }

my @numbers = qw(0 -0 -0.0 1 -1 2 3 7 0.5 1e-320 1e308 -1e308 1e400 1e-400 2147483647 2147483648 -2147483649 9223372036854775808
  99999999999999999999999999 0.1e1 1E+2);
my @not_numbers = qw(NaN Infinity 1e 00 .5 - 1e400000);
my @strings = ('', ' ', 'a', 'k1', 'yes', 'NaN', 'Infinity', '-Infinity', '1e999', '12,5', '1.234.567', '2024-02-30', '2024-01-15', '9999999-01-01',
	'2024-01-01T25:00:00Z', 'true', 'NULL', 'N/A', '\\\\u0000', '\\ud83d\\ude00', '\\u00e9', '\\n\\t', '%s%n', "' OR 1=1",
	'pg_catalog', 'x' x 70, 'word ' x 500, "\xc3\xa9");
my @hyperparams = qw(n_estimators learning_rate num_leaves max_depth min_data_in_leaf lambda_l1 lambda_l2 feature_fraction
  bagging_fraction bagging_freq max_bin early_stopping_round min_gain_to_split cat_smooth l1_ratio alpha lambda penalty degree
  max_iter tol class_weight N_ESTIMATORS unknown);
my @options = qw(folds ensemble keep max_levels max_threads Folds);
my @columns = (qw(id n k d b j t y nothing N), '', '"n"', 'n ', 'x' x 64, 'ctid');

my @no_strings = ('\\u0000', '\\ud83d', '\\ude00x', '\\x', "\t");

sub json_string { return '"' . (rand() < 0.01 ? any(@no_strings) : any(@strings)) . '"'; }

sub json_value
{
	my ($depth) = @_;
	my $kind = int rand(12);
	return any(@not_numbers) if rand() < 0.005;
	return any(@numbers) if $kind < 5;
	return json_string() if $kind < 8;
	return any(qw(true false null)) if $kind < 9 || $depth > 3;
	return '[' . join(',', map { json_value($depth + 1) } 1 .. int rand(4)) . ']' if $kind < 10;
	return json_object([ @hyperparams, @columns ], $depth + 1) if $kind < 11;
	return ('[' x 3000) . (']' x 3000) if rand() < 0.02;
	return '{}';
}

# An object with some of these keys, sometimes twice, and now and then bytes that do not belong there.
sub json_object
{
	my ($keys, $depth) = @_;
	my $object = '{' . join(',', map { '"' . any(@$keys) =~ s/"/\\"/gr . '":' . json_value($depth) } 1 .. int rand(6)) . '}';
	substr($object, int rand(length $object), int rand(2), any('{', '}', '"', ',', ':', '\\', "\x01", 'e')) if rand() < 0.05 && $object !~ /[^\x00-\x7f]/;
	return $object;
}

sub quoted { return "'" . $_[0] =~ s/'/''/gr . "'"; }

sub text_array
{
	my @elements = map { rand() < 0.05 ? 'NULL' : quoted(any(@_)) } 1 .. int rand(4);
	return rand() < 0.05 ? "ARRAY[ARRAY['n'], ARRAY['k']]" : 'ARRAY[' . join(', ', @elements) . ']::text[]';
}

# A training with a few arguments, of which most are wrong.
sub training
{
	my %arguments = (
		hyperparams => sub { quoted(json_object(\@hyperparams, 0)) . '::jsonb' },
		options => sub { quoted(json_object(\@options, 0)) . '::jsonb' },
		search => sub { quoted(any(qw(auto random grid bayes halving nas BAYES), '')) },
		search_space => sub { quoted(json_object([ @hyperparams, qw(range log n gradient_boosting) ], 0)) . '::jsonb' },
		features => sub { text_array(@columns) },
		exclude => sub { text_array(@columns) },
		id_columns => sub { text_array(@columns) },
		algorithms => sub { text_array(qw(linear gradient_boosting constant -linear -constant LINEAR auto), '') },
		time_column => sub { quoted(any(@columns)) },
		group_column => sub { quoted(any(@columns)) },
		weight_column => sub { quoted(any(@columns)) },
		positive_class => sub { quoted(any(@strings)) },
		task => sub { quoted(any(qw(auto binary regression multiclass classification clustering), '')) },
		metric => sub { quoted(any(qw(auto rmse mae r2 accuracy auc log_loss f1 RMSE), '')) },
		test_size => sub { quoted(any(qw(0 0.2 0.999999 1 -1 NaN Infinity 1e-300))) . '::float8' },
		seed => sub { any(qw(0 1 -1 9223372036854775807), '(-9223372036854775808)') },
		time_budget => sub { quoted(any('1 ms', '0', '-1 s', '100000 years', '1 month')) . '::interval' });
	my @names = keys %arguments;
	my %chosen = map { any(@names) => 1 } 1 .. 1 + int rand(3);
	my $model = any(rand() < 0.9 ? qw(linear new) : ('', 'a@b', 'x' x 64, "tab\there"));
	my $data = any(('mixed') x 20, 'SELECT * FROM mixed WHERE n < 20', 'nothing', '', 'SELECT 1', 'VALUES (1, NULL)', 'DELETE FROM mixed');
	my $target = any(('y') x 10, qw(k b d j t nothing n), '');
	return "SELECT * FROM automl_train(" . join(', ', quoted($model), quoted($data), quoted($target), "max_trials => 1",
		map { "$_ => " . $arguments{$_}->() } sort keys %chosen) . ')';
}

# A prediction for a document, through each verb and each type of document.
sub prediction
{
	my $verb = any(('predict') x 3, qw(predict_value predict_proba predict_probs predict_interval predict_set));
	my $class = $verb eq 'predict_proba' && rand() < 0.5 ? ', ' . quoted(any(qw(true false k1 k2 K1), '')) : '';
	$class = ', ' . any(qw(0.5 0.999 0 1 -1 1e300 NULL)) if $verb =~ /interval|set/ && rand() < 0.5;
	my $model = any(rand() < 0.9 ? qw(linear trees binary classes linear@1) : (qw(trees@0 binary@99999999999 none), '@', 'x@y'));
	my $document = rand() < 0.1 ? json_value(0) : json_object(\@columns, 0);
	# As a rule all columns are there, so that it is the values that decide.
	$document = '{' . join(',', map { qq{"$_":} . (rand() < 0.4 ? 'null' : json_value(4)) } qw(id n k d b j t y)) . '}' if rand() < 0.8;
	return "SELECT $verb(" . quoted($model) . ', ' . quoted($document) . '::' . any(qw(jsonb json text)) . "$class)";
}

# ---- answers --------------------------------------------------------------------------------

my @statements = map { rand() < 0.25 ? training() : prediction() } 1 .. $documents;
my $script = $node->basedir . '/statements.sql';
append_to_file($script, join "\n", "SET client_min_messages = error;", map { 'SELECT attempt(' . quoted($_) . ');' } @statements);
my ($out, $error);
IPC::Run::run([ 'psql', '-X', '-A', '-t', '-q', '-d', $node->connstr('postgres'), '-f', $script ], '<', \undef, '>', \$out, '2>', \$error);
is($error, '', 'the session outlives all of them');

my @answers = split /\n(?=[0-9A-Z]{5}(?: |\n|\z))/, $out;
is(scalar @answers, $documents, 'every statement is answered');
my (%states, @internal);
foreach my $i (0 .. $#answers)
{
	my $state = substr $answers[$i], 0, 5;
	$states{$state}++;
	# What a client may do wrong, or ask too much of: 22 values, 42 names and rights, 0A features, 53 and 54 limits, 55 and 25006 states.
	push @internal, "$answers[$i]\n$statements[$i]" unless $state =~ /^(?:00|0A|22|42|53400|54|55|25006)/;
}
note join ', ', map { "$_: $states{$_}" } sort keys %states;
is(substr(join("\n\n", @internal), 0, 10_000), '', 'no error is an internal one');
cmp_ok($states{'00000'} // 0, '>', $documents / 20, 'some statements are right, too');
is(registry_problems($node), '', 'the registry is whole');
unlike(slurp_file($node->logfile), qr/(?:PANIC|FATAL|terminated by signal|TRAP)/, 'no process has died');
$node->stop;

done_testing();
