/**
 * A system call that no step may make, with harmless arguments. Any answer but a refusal means that the kernel's code
 * was reached.
 */
export function forbiddenCall(perl: string): string {
  return perlScript(`
my ($EPERM, $EACCES, $ENOSYS, $EAFNOSUPPORT) = (1, 13, 38, 97);
my $result = do { ${perl} };
my $error = $!;
if (defined $result && $result != -1) { print "BREACH it answered $result\\n"; }
elsif (grep { $_ == $error + 0 } $EPERM, $EACCES, $ENOSYS, $EAFNOSUPPORT) { print "HELD $error\\n"; }
else { print "BREACH the kernel was reached: $error\\n"; }`);
}

/** Perl code as a shell script. The code can't contain a line `PERL`. */
export function perlScript(code: string): string {
  return `exec perl - <<'PERL'\n$| = 1;\n${code}\nPERL\n`;
}

/** Commands of which the last must fail. Their output is shown as the reason. */
export function forbiddenCommands(shell: string): string {
  return `if reason=$( { ${shell}\n} 2>&1 ); then echo "BREACH $reason"; else echo "HELD $reason" | head -n 1; fi\n`;
}
