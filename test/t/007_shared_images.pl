# With the library preloaded, all sessions predict with one copy of a model's image; whatever happens to a session, the
# others go on, and the table of images stays true.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PgmlTest;

# The segments are looked up in /proc by their names.
my $node = PostgreSQL::Test::Cluster->new('shared');
$node->init(allows_streaming => 1);
configure_server($node);
$node->append_conf('postgresql.conf', preload_setting($node) . q{
	dynamic_shared_memory_type = posix
	restart_after_crash = on});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION pgml_auto;
	CREATE ROLE stranger LOGIN;
	CREATE ROLE watcher LOGIN;
	GRANT pg_monitor TO watcher;
	CREATE TABLE points AS
	SELECT i AS id, i * 7919 % 499 AS a, i * 104729 % 997 AS b, 0 AS y FROM generate_series(1, 4000) i;
	UPDATE points SET y = a * b % 1000;
	ALTER TABLE points ADD PRIMARY KEY (id);
	VACUUM ANALYZE points});

# A training whose image has about a megabyte; the n-th version predicts about 10000 * n more.
sub train
{
	my ($model, $n) = @_;
	$n //= 0;
	return qq{SELECT version FROM automl_train('$model', 'SELECT id, a, b, y + 10000 * $n AS y FROM points', 'y', id_columns => '{id}',
		max_trials => 1, algorithms => '{gradient_boosting}', options => '{"folds": 1}',
		hyperparams => '{"n_estimators": 300, "num_leaves": 127, "min_data_in_leaf": 2, "early_stopping_round": 0, "learning_rate": 0.3}')};
}

# What the view shows, from a session that shares nothing itself.
sub images
{
	my ($where) = @_;
	return $node->safe_psql('postgres', 'SELECT model, version, sessions, loading FROM pgml_auto.shared_images'
		  . ' WHERE database = current_database() ' . ($where // '') . ' ORDER BY 1, 2');
}

# The segment of an image that a backend has mapped: its name, and bytes of it that are the backend's alone.
sub mapping
{
	my ($pid, $bytes) = @_;
	my ($name, $private, $inside);
	foreach (split /\n/, slurp_file("/proc/$pid/smaps"))
	{
		if (/^([0-9a-f]+)-([0-9a-f]+) .* \/dev\/shm\/(PostgreSQL\.\d+)/)
		{
			my $length = hex($2) - hex($1);
			$inside = $length >= $bytes && $length < $bytes + 8192;
			$name = $3 if $inside;
		}
		elsif (/^[0-9a-f]+-[0-9a-f]+ /)
		{
			$inside = 0;
		}
		$private += $1 * 1024 if $inside && /^Private_\w+: +(\d+) kB/;
	}
	return ($name, $private);
}

sub start_session
{
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	return ($session, $session->query_safe('SELECT pg_backend_pid()'));
}

sub wait_for_activity
{
	my ($pid, $type) = @_;
	return $node->poll_query_until('postgres',
		"SELECT count(*) = 1 FROM pg_stat_activity WHERE pid = $pid AND state = 'active' AND wait_event_type = '$type'");
}

my $predict = q{SELECT count(*), round(sum(predict_value('m', p)) / 4000 / 10000) FROM points p};

# ---- one copy -------------------------------------------------------------------------------

$node->safe_psql('postgres', train('m'));
my $bytes = $node->safe_psql('postgres', q{SELECT image_bytes FROM pgml_auto.version WHERE model = 'm'});
cmp_ok($bytes, '>', 500_000, 'the image is large');
is(images(), '', 'nothing is shared before a prediction');
my @sessions = map { [ start_session() ] } 1 .. 4;
is($_->[0]->query_safe($predict), '4000|0', 'a session predicts') foreach @sessions;
is(images(), 'm|1|4|f', 'four sessions have one copy');
my @mappings = map { [ mapping($_->[1], $bytes) ] } @sessions;
is(scalar(grep { defined $_->[0] && $_->[0] eq $mappings[0][0] } @mappings), 4, 'all have mapped the same segment');
# The first has read all of it, the others some.
is(scalar(grep { $_->[1] == 0 } @mappings[1 .. 3]), 3, 'nothing of it is private');

# What scoring needs is derived from the image once.
my $prepared = $node->safe_psql('postgres', q{SELECT prepared_bytes FROM pgml_auto.shared_images});
cmp_ok($prepared, '>', 100_000, 'the first session has shared what it has prepared');
my @forms = map { [ mapping($_->[1], $prepared) ] } @sessions;
is(scalar(grep { defined $_->[0] && $_->[0] eq $forms[0][0] } @forms), 4, 'all have mapped it');
isnt($forms[0][0], $mappings[0][0], 'which is another segment');
is(scalar(grep { $_->[1] == 0 } @forms[1 .. 3]), 3, 'nothing of it is private either');

my $sum = q{SELECT md5(string_agg(predict_value('m', p)::text, ',' ORDER BY id)) FROM points p};
my $shared = $sessions[1][0]->query_safe($sum);
is($sessions[1][0]->query_safe("BEGIN; SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0; SET LOCAL min_parallel_table_scan_size = 0; "
			. "SET LOCAL max_parallel_workers_per_gather = 2; $predict; COMMIT"), '4000|0', 'parallel workers predict');
is(images(), 'm|1|4|f', 'and have left the copy when they have ended');

is($node->safe_psql('postgres', 'SELECT database, model FROM pgml_auto.shared_images', extra_params => [ '-U', 'watcher' ]),
	'postgres|', 'pg_monitor sees what is shared, but no names of models that were not granted');
is($node->safe_psql('postgres', 'SELECT count(*) FROM pgml_auto.shared_images', extra_params => [ '-U', 'stranger' ]), 0,
	'others see nothing');
my ($code, $out, $error) = $node->psql('postgres', $predict, extra_params => [ '-U', 'stranger' ]);
like($error, qr/permission denied/, 'what is shared is not for everybody');

# Two databases with the same numbers in their registries.
$_->[0]->quit foreach @sessions;
$node->poll_query_until('postgres', q{SELECT sessions = 0 FROM pgml_auto.shared_images});
is(images(), 'm|1|0|f', 'the image stays when all sessions have ended');
ok(-e "/dev/shm/$forms[0][0]", 'and so does what was prepared');
my $one_by_one = q{SET pgml_auto.block_scoring = off; SELECT md5(string_agg(predict_value('m', p)::text, ',' ORDER BY id)) FROM points p};
is($node->safe_psql('postgres', $one_by_one), $shared, 'with which a new session predicts the same row by row');
$node->safe_psql('template1', 'CREATE DATABASE copied TEMPLATE postgres');
is($node->safe_psql('copied', $sum), $shared, 'a copy of the database predicts the same');
is($node->safe_psql('postgres', 'SELECT database, model FROM pgml_auto.shared_images ORDER BY 1'), "copied|\npostgres|m",
	'with an image of its own');
$node->safe_psql('postgres', 'DROP DATABASE copied');

# ---- versions come and go -------------------------------------------------------------------

@sessions = map { [ start_session() ] } 1 .. 3;
my ($first, $second, $third) = map { $_->[0] } @sessions;
$_->query_safe("PREPARE ask AS $predict") foreach $first, $second;
is($_->query_safe('EXECUTE ask'), '4000|0', 'a prepared statement') foreach $first, $second;
$third->query_safe(train('m', 1));
is($third->query_safe(q{SELECT automl_deploy('m', 2)}), 2, 'a new version is deployed');
is($_->query_safe('EXECUTE ask'), '4000|1', 'which the others use at once') foreach $first, $second;
is(images("AND sessions > 0"), 'm|2|2|f', 'and have let go of the old one');

$third->query_safe('BEGIN');
$third->query_safe(train('own', 2));
like($third->query_safe(q{SELECT round(sum(predict_value('own', p)) / 4000 / 10000) FROM points p}), qr/^2$/, 'before it is committed a model predicts');
is($node->safe_psql('postgres', 'SELECT count(*) FROM pgml_auto.shared_images'), 3, 'but is not shared');
$third->query_safe('ROLLBACK');
$third->query_safe(train('own', 3));
is($third->query_safe(q{SELECT round(sum(predict_value('own', p)) / 4000 / 10000) FROM points p}), 3, 'trained again and committed it predicts');
is(images("AND model = 'own'"), 'own|1|1|f', 'and is shared');
$third->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
is($third->query_safe($predict), '4000|1', 'a snapshot');
$first->query_safe(q{SELECT automl_drop('m')});
$first->query('EXECUTE ask');
like($first->{stderr}, qr/model "m" does not exist/, 'a dropped model is gone');
$first->{stderr} = '';
is($third->query_safe($predict), '4000|1', 'but for the snapshot');
$third->query_safe('COMMIT');
$_->quit foreach $first, $second, $third;

# ---- loading that is stopped ----------------------------------------------------------------

$node->safe_psql('postgres', train('m', 4));
my $locker = $node->background_psql('postgres');
$locker->query_safe('BEGIN; LOCK TABLE pgml_auto.image_chunks');
@sessions = map { [ start_session() ] } 1 .. 3;
start_in_background($sessions[0][0], $predict);
ok(wait_for_activity($sessions[0][1], 'Lock'), 'a session that loads is stopped half way');
is(images("AND model = 'm'"), 'm|1|1|t', 'the view shows that it loads');
foreach my $i (1, 2)
{
	start_in_background($sessions[$i][0], $predict);
	ok(wait_for_activity($sessions[$i][1], 'Extension'), 'another one waits for it');
}
$node->safe_psql('postgres', "SELECT pg_cancel_backend($sessions[0][1])");
like($sessions[0][0]->query('SELECT 1'), qr/1/, 'it is cancelled');
like($sessions[0][0]->{stderr}, qr/canceling statement/, 'as it is told');
ok($node->poll_query_until('postgres',
		"SELECT count(*) = 1 FROM pg_stat_activity WHERE pid IN ($sessions[1][1], $sessions[2][1]) AND wait_event_type = 'Lock'"),
	'one of those who waited loads instead');
my $loader = $node->safe_psql('postgres',
	"SELECT pid FROM pg_stat_activity WHERE pid IN ($sessions[1][1], $sessions[2][1]) AND wait_event_type = 'Lock'");
my ($last) = grep { $_->[1] != $sessions[0][1] && $_->[1] != $loader } @sessions;
$node->safe_psql('postgres', "SELECT pg_terminate_backend($loader)");
ok(wait_for_activity($last->[1], 'Lock'), 'the other one when that is terminated');
is(images("AND model = 'm'"), 'm|1|1|t', 'it loads');
$locker->query_safe('COMMIT');
$locker->quit;
like($last->[0]->query('SELECT 1'), qr/^4000\|4$/m, 'and predicts in the end');
is(images("AND model = 'm'"), 'm|1|1|f', 'with what all can share now');
eval { $_->[0]->quit } foreach @sessions;

# A damaged image is an error for each, and no slot is kept for it.
$node->safe_psql('postgres', train('bad', 5));
$node->safe_psql('postgres', q{CREATE TABLE saved AS SELECT c.* FROM pgml_auto.image_chunks c JOIN pgml_auto.versions v USING (version_id)
	JOIN pgml_auto.models m USING (model_id) WHERE m.name = 'bad'});
$node->safe_psql('postgres', q{UPDATE pgml_auto.image_chunks c SET data = set_byte(c.data, 500000, get_byte(c.data, 500000) # 1)
	FROM saved s WHERE s.version_id = c.version_id AND s.chunk = c.chunk AND c.chunk = 0});
foreach (1, 2)
{
	($code, $out, $error) = $node->psql('postgres', q{SELECT predict('bad', p) FROM points p});
	like($error, qr/model image is damaged/, 'a damaged image is refused');
}
is(images("AND model = 'bad'"), '', 'and not shared');
# A good image of another model is not this version's.
$node->safe_psql('postgres', q{UPDATE pgml_auto.image_chunks c SET data = s.data FROM saved s WHERE s.version_id = c.version_id AND s.chunk = c.chunk;
	UPDATE pgml_auto.versions v SET image_crc = image_crc # 1 WHERE version_id IN (SELECT version_id FROM saved)});
($code, $out, $error) = $node->psql('postgres', q{SELECT predict('bad', p) FROM points p});
like($error, qr/Its checksum is not that of the version/, 'nor is one that is another than the registry says');
is(images("AND model = 'bad'"), '', 'which is not shared');
$node->safe_psql('postgres', q{SELECT automl_drop('bad')});

# ---- memory ---------------------------------------------------------------------------------

# With room for one model, the idle one goes when another is loaded.
sub set_size
{
	my ($size) = @_;
	$node->safe_psql('postgres', "ALTER SYSTEM SET pgml_auto.shared_cache_size = '$size'");
	$node->reload;
	return $node->poll_query_until('postgres', "SELECT current_setting('pgml_auto.shared_cache_size') = '$size'");
}
my $ask_own = q{SELECT round(sum(predict_value('own', p)) / 4000 / 10000) FROM points p};
ok(set_size(int(($bytes + $prepared) * 1.5 / 1024) . 'kB'), 'little shared memory');
my ($session, $pid) = start_session();
is($session->query_safe($predict), '4000|4', 'a model');
is(images(), 'm|1|1|f', 'all others, which were idle, are gone');
is($node->safe_psql('postgres', $ask_own), 3, 'another model, while the first is in use');
is(images(), 'm|1|1|f', 'is gone as soon as its session has ended');
$session->quit;
$node->poll_query_until('postgres', q{SELECT sessions = 0 FROM pgml_auto.shared_images});
is($node->safe_psql('postgres', $ask_own), 3, 'and when the first is idle');
like(images(), qr/^own\|1\|\d\|f$/, 'the first goes');
ok(set_size(int($bytes * 1.2 / 1024) . 'kB'), 'no room for what is prepared beside an image');
is($node->safe_psql('postgres', $predict), '4000|4', 'a model');
is($node->safe_psql('postgres', 'SELECT model, prepared_bytes FROM pgml_auto.shared_images'), 'm|0', 'only the image is shared');
ok(set_size('300kB'), 'less than an image');
is($node->safe_psql('postgres', $ask_own), 3, 'an image beyond the bound');
ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM pgml_auto.shared_images'), 'is not shared');
ok(!-e "/dev/shm/$forms[0][0]", 'what was prepared has gone with its image');
ok(set_size('64MB'), 'much');

# A session that gets no shared memory from the system has a copy of its own.
SKIP:
{
	skip 'prlimit is missing', 3 if system('prlimit --version > /dev/null 2>&1') != 0;
	($session, $pid) = start_session();
	system_or_bail('prlimit', '--pid', $pid, '--fsize=400000');
	is($session->query_safe($predict), '4000|4', 'no shared memory: it predicts');
	is(images(), '', 'with a copy of its own');
	is($node->safe_psql('postgres', $predict), '4000|4', 'another session gets some');
	$session->quit;
}

# ---- crash and standby ----------------------------------------------------------------------

($session, $pid) = start_session();
is($session->query_safe($predict), '4000|4', 'a session predicts');
my ($segment) = mapping($pid, $bytes);
ok(-e "/dev/shm/$segment", 'with a segment');
($prepared) = $session->query_safe(q{SELECT prepared_bytes FROM pgml_auto.shared_images WHERE model = 'm'});
my ($form) = mapping($pid, $prepared);
ok(-e "/dev/shm/$form", 'and one for what is prepared');
kill 'KILL', $pid;
ok(wait_until(sub { !-e "/proc/$pid" }), 'and is killed');
eval { $session->quit };
ok($node->poll_query_until('postgres', undef, ''), 'the server is back');
ok(wait_until(sub { !-e "/dev/shm/$segment" && !-e "/dev/shm/$form" }), 'without the segments');
is($node->safe_psql('postgres', 'SELECT count(*) FROM pgml_auto.shared_images'), 0, 'with an empty table');
is($node->safe_psql('postgres', $predict), '4000|4', 'and predicts');
like(images(), qr/^m\|1\|\d\|f$/, 'shared again');

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('shared_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
my $on_standby = $standby->background_psql('postgres');
is($on_standby->query_safe($predict), '4000|4', 'a standby predicts');
is($standby->safe_psql('postgres', 'SELECT model, sessions FROM pgml_auto.shared_images'), 'm|1', 'and shares');
$node->safe_psql('postgres', train('m', 6));
$node->safe_psql('postgres', q{SELECT automl_deploy('m', 2)});
$node->wait_for_catchup($standby);
is($on_standby->query_safe($predict), '4000|6', 'it follows deployments');
$on_standby->quit;
$standby->stop;

# The extension dropped and created again: the numbers of versions start again, the images do not mix.
($session, $pid) = start_session();
is($session->query_safe($predict), '4000|6', 'before');
$session->query_safe('DROP EXTENSION pgml_auto; CREATE EXTENSION pgml_auto');
$session->query_safe(train('m', 7));
is($session->query_safe($predict), '4000|7', 'after DROP and CREATE EXTENSION');
is(images('AND sessions > 0'), 'm|1|1|f', 'with another image');
($prepared) = $session->query_safe(q{SELECT prepared_bytes FROM pgml_auto.shared_images WHERE sessions > 0});
($form) = mapping($pid, $prepared);
ok(-e "/dev/shm/$form", 'and what is prepared of it');
$session->quit;
$node->stop;
ok(!-e "/dev/shm/$segment" && !-e "/dev/shm/$form", 'nothing is left behind');

done_testing();
