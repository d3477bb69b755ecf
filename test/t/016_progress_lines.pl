# A training that takes long tells the client where it is while it runs: psql shows the lines before the training ends.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use IPC::Run;
use PgmlTest;

my $node = new_server('lines');
create_small_table($node);
my $train = q{SELECT version FROM automl_train('long', 'points', 'y', time_budget => '10 minutes', algorithms => '{mlp}', search => 'random')};

# Two lines come; then the training, which has minutes to go, is cancelled, so that nothing but lines can have come.
{
	my ($out, $error) = ('', '');
	local $ENV{PGOPTIONS} = '-c client_min_messages=notice -c pgml_auto.progress_interval=50';
	my $timeout = IPC::Run::timeout(180);
	my $psql = IPC::Run::start([ 'psql', '-X', '-A', '-t', '-q', '-d', $node->connstr('postgres'), '-c', $train ],
		'<', \undef, '>', \$out, '2>', \$error, $timeout);
	my $line = qr/^NOTICE:  \d+ s of 600 s: trial \d+: mlp, best \w+ \S+\n/m;
	$psql->pump until $error =~ /$line.*$line/s;
	pass('lines arrive while the training runs');
	is($out, '', 'before its result');
	$psql->signal('INT');
	$psql->finish;
	like($error, qr/canceling statement due to user request/, 'which was still to come');
	my @seconds = $error =~ /^NOTICE:  (\d+) s of/mg;
	is_deeply([ sort { $a <=> $b } @seconds ], \@seconds, 'in their order');
	cmp_ok($seconds[0], '>=', 2, 'not in the first seconds');
}

# Turned off, nothing is said, however long it takes; 3 seconds are more than those that are quiet anyhow.
my ($code, $out, $error) = $node->psql('postgres',
	q{SET client_min_messages = notice; SET pgml_auto.progress_interval = 0;
	  SELECT version FROM automl_train('off', 'points', 'y', time_budget => '3 s', algorithms => '{mlp}', search => 'random')});
is($out, 1, 'trained without lines');
unlike($error, qr/ s of 3 s: /, 'none was sent');
$node->stop;

done_testing();
