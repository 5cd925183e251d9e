import fc from 'fast-check';

/** What keys, field names, values and reasons may hold, to the annoyance of every format. */
export const hostileText: fc.Arbitrary<string> = fc.oneof(
  fc.string({ unit: 'binary', minLength: 1, maxLength: 30 }),
  fc.constantFrom(
    ']]>',
    '<script>alert(1)</script>',
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    '</style><script>',
    '<!--',
    '&amp;&lt;&#60;',
    '\u0000\r\n\t\ud800\uffff\u001b[31m',
    '-->',
    'a|b\\|c\\',
    '``` ` ``',
    '`',
    '@everyone #1 https://evil.example',
    '[a](javascript:alert(1)) ![x](//evil.example/p.png)',
    '\n::set-output name=a::b',
    '%0A::error::x',
    '::error title=x::y,z:',
    '##[add-matcher]evil.json',
    '\u202egnp.exe',
    '\u2028| --- |',
  ),
);
