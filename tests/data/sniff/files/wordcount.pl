#!/usr/bin/perl
use strict;
use warnings;
use Getopt::Long qw(GetOptions);

my $limit = 10;
GetOptions('limit=i' => \$limit) or die "usage: $0 [--limit N] FILE...\n";

my %count;
while (my $line = <>) {
    chomp $line;
    foreach my $word (split /\W+/, lc $line) {
        next unless length $word;
        $count{$word}++;
    }
}

my @words = sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;
splice @words, $limit if @words > $limit;
printf "%6d %s\n", $count{$_}, $_ for @words;

sub trim {
    my ($text) = @_;
    $text =~ s/^\s+|\s+$//g;
    return $text;
}

1;
__END__
