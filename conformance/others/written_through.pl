#!/usr/bin/env perl
# A correct receiver in Perl: writes through (O_SYNC), keeps the latest commit of one database alone,
# judges in an order of its own, and says no more in a refusal than it must.
use strict; use warnings FATAL => 'all';
use JSON::PP; use MIME::Base64; use Fcntl qw(:DEFAULT :flock :mode); use Errno qw(ENOSPC EDQUOT ENOENT); use IO::Handle;
$SIG{XFSZ} = 'IGNORE';
my $json = JSON::PP->new->utf8->allow_nonref->allow_bignum; STDOUT->autoflush(1);
my ($dir, $lock, %run, %last, %owed);
my @T = map { my $c = $_; $c = ($c >> 1) ^ (($c & 1) ? 0x82F63B78 : 0) for 1..8; $c } 0..255;
sub crc { my ($c, $d) = @_; $c ^= 0xFFFFFFFF; $c = $T[($c ^ $_) & 255] ^ ($c >> 8) for unpack 'C*', $d; return $c ^ 0xFFFFFFFF }
sub valid { my $i = shift; return $i =~ /\A[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}\z/ }
sub num { my ($v, $most) = @_; die "bad number\n" if !defined $v || ref($v) && ref($v) !~ /^Math::Big/ || "$v" !~ /\A[0-9]{1,20}\z/;
  my $s = "$v"; $s =~ s/\A0+(?=.)//; die "bad number\n" if length $s > length $most || length $s == length $most && $s gt $most; return $s + 0 }
sub failed { my ($op) = @_; my $k = ($! == ENOSPC || $! == EDQUOT) ? 'full' : 'other'; die {reply => 'failed', operation => $op, kind => "$k: $!"} }
sub refuse { die {reply => 'rejected', reason => $_[0], @_ > 1 ? (resume_offset => $_[1]) : ()} }
sub place { return "$dir/recv_snapshots/$_[0]" }
sub drop { my $id = shift; my $r = delete $run{$id}; close $r->{file} if $r && $r->{file};
  if (unlink(place("$id.partial")) || $! == ENOENT) { delete $owed{$id}; return 1 } $owed{$id} = 1; return 0 }
sub sync_dir { my $p = shift; sysopen(my $h, $p, O_RDONLY) or return 0; return defined $h->sync }
sub leave { drop($_) for keys %run; close $lock if $lock; ($lock, $dir) = (); %run = %last = %owed = () }
sub open_it { my $d = shift; leave() if $dir;
  my $r = "$d/recv_snapshots";
  for my $p ($d, $r) { if (!lstat $p) { mkdir $p or failed('open') } elsif (!S_ISDIR((lstat _)[2])) { $! = 20; failed('open') } }
  sysopen($lock, "$r/.lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600) or failed('open');
  flock($lock, LOCK_EX | LOCK_NB) or do { close $lock; undef $lock; failed('lock') };
  opendir(my $h, $r) or failed('open');
  my $left = 0;
  for my $n (readdir $h) { next unless $n =~ /\A(.*)\.partial\z/s && valid($1); my $m = (lstat "$r/$n")[2];
    if (S_ISREG($m) || S_ISLNK($m)) { unlink "$r/$n" or $left++ } elsif (S_ISDIR($m)) { $left++ } }
  (my $up = $d) =~ s{/+[^/]+/*\z}{}; $up = '/' if $up eq '';
  for my $p ($r, $d, $up) { sync_dir($p) or failed('open') }
  $dir = $d; return {reply => 'opened', orphans_left => $left} }
sub chunk { my $e = shift; die "no envelope\n" unless ref $e eq 'HASH';
  my ($id, $cl, $data, $done) = @$e{qw(source_database_id source_cluster_id data done)};
  die "fields\n" if grep { !defined || ref } $id, $cl, $data; die "done\n" unless JSON::PP::is_bool($done);
  my $big = '18446744073709551615';
  my ($lsn, $total, $off) = map { num($e->{$_}, $big) } qw(snapshot_lsn total_bytes offset); my $crc = num($e->{total_crc32c}, '4294967295');
  die "base64\n" if $data !~ m{\A(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?\z}; $data = decode_base64($data);
  my $len = length $data; utf8::encode(my $bytes = $cl);
  refuse('invalid_database_id') unless valid($id); refuse('invalid_cluster_id') if length $bytes < 1 || length $bytes > 200;
  my $key = join "\0", $lsn, $total, $crc, $bytes; my $r = $run{$id};
  if ($off > 0) {
    if (!$r) { my $l = $last{$id}; return {reply => 'committed', snapshot_lsn => "$lsn", path => "recv_snapshots/$id.snapshot"}
        if $l && $done && defined $l->{final} && $l->{final} eq "$key\0$off\0$len"; refuse('offset_mismatch', 0) }
    refuse('identity_mismatch', 0) if $r->{key} ne $key; refuse('offset_mismatch') if $r->{next} != $off; }
  refuse('length_overrun') if $len > $total || $off > $total - $len;
  if ($off == 0) {
    refuse('snapshot_too_large') if $total > 1 << 40;
    refuse('stale_snapshot') if $r && $lsn < $r->{lsn};
    refuse('stale_snapshot') if !$r && $last{$id} && $last{$id}{cluster} eq $bytes && $lsn < $last{$id}{lsn};
    delete $last{$id}{final} if $last{$id};
    drop($id) or do { delete $run{$id}; failed('create') };
    sysopen(my $f, place("$id.partial"), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_SYNC, 0600) or failed('create');
    $r = $run{$id} = {key => $key, next => 0, lsn => $lsn, crc => 0, file => $f}; }
  my $at = 0;
  while ($at < $len) { my $n = syswrite($r->{file}, $data, $len - $at, $at); if (!defined $n) { my $e = $!; drop($id); $! = $e; failed('write') } $at += $n }
  $r->{crc} = crc($r->{crc}, $data); $r->{next} += $len;
  return {reply => 'pending', bytes_done => $r->{next}} unless $done;
  if ($r->{next} != $total) { drop($id); refuse('length_mismatch', 0) }
  if ($r->{crc} != $crc) { drop($id); refuse('crc_mismatch', 0) }
  my @ours = stat $r->{file}; my @named = lstat place("$id.partial");
  if (!@named || $ours[1] != $named[1] || !rename place("$id.partial"), place("$id.snapshot")) { my $e = $!; drop($id); $! = $e; failed('publish') }
  close $r->{file}; delete $run{$id};
  sync_dir("$dir/recv_snapshots") or failed('sync_directory');
  %last = ($id => {cluster => $bytes, lsn => $lsn, final => $off ? "$key\0$off\0$len" : undef});
  return {reply => 'committed', snapshot_lsn => "$lsn", path => "recv_snapshots/$id.snapshot"} }
sub abort_it { my $q = shift; my @ids = keys %{{%run, %owed}};
  if (exists $q->{database_id}) { refuse('invalid_database_id') unless valid($q->{database_id}); @ids = $q->{database_id} }
  my $bad; for my $id (@ids) { drop($id) or $bad = $!; } if ($bad) { $! = $bad; failed('remove') } return {reply => 'aborted'} }
while (my $line = <STDIN>) {
  my ($seq, $op) = (undef, '');
  my $a = eval { my $q = $json->decode($line); die "no object\n" unless ref $q eq 'HASH'; $seq = $q->{seq}; $op = $q->{op} // '';
    $op eq 'hello' ? {name => 'perl', version => '5', language => 'perl', features => [qw(abort multi restart stale lock)], limits => {snapshot_bytes_max => 1 << 40}}
    : $op eq 'open' ? open_it($q->{data_dir}) : $op eq 'chunk' ? chunk($q->{envelope}) : $op eq 'abort' ? abort_it($q)
    : $op eq 'close' ? do { leave() if $dir; {reply => 'closed'} } : die "no such op\n" };
  if (!$a) { $a = ref $@ ? $@ : {reply => 'errored', message => "$@"} }
  $a->{seq} = $seq; print $json->encode($a), "\n"; exit 0 if $op eq 'close' }
