#!/usr/bin/env node
// Draws what a terminal showed as an SVG: npm run -s demo | node scripts/terminal-svg.mjs --lines 3-20,40-60 > picture.svg
// Understands colours and weights (SGR); FORCE_COLOR=1 makes the demo write them into a pipe. Needs no package.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    lines: { type: 'string' },
    columns: { type: 'string', default: '100' },
    title: { type: 'string', default: '' },
  },
});

const cell = { width: 8.43, height: 18 };
const margin = { x: 18, top: 44, bottom: 16 };
const colours = { 31: '#ff7b72', 32: '#7ee787', 33: '#f2cc60', 36: '#79c0ff' };
const ground = '#0d1117';
const ink = '#e6edf3';
const faint = '#8b949e';

const escape = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/** Pieces of one line with the look each has. */
function pieces(line) {
  const found = [];
  let look = {};
  let rest = line;
  for (;;) {
    const match = /\u001b\[([\d;]*)m/.exec(rest);
    const text = match ? rest.slice(0, match.index) : rest;
    if (text !== '') found.push({ text, ...look });
    if (!match) return found;
    rest = rest.slice(match.index + match[0].length);
    for (const code of (match[1] || '0').split(';').map(Number)) {
      if (code === 0) look = {};
      else if (code === 1) look = { ...look, bold: true };
      else if (code === 2) look = { ...look, dim: true };
      else if (colours[code]) look = { ...look, colour: colours[code] };
    }
  }
}

/** The chosen lines, with a mark where some are left out. */
function choose(all, ranges) {
  if (!ranges) return all;
  const chosen = [];
  for (const range of ranges.split(',')) {
    const [first, last = first] = range.split('-').map(Number);
    if (chosen.length > 0) chosen.push('\u001b[2m  ⋮\u001b[0m');
    chosen.push(...all.slice(first - 1, last));
  }
  return chosen;
}

const input = readFileSync(0, 'utf8').replaceAll('\r', '').replace(/\n+$/, '').split('\n');
const lines = choose(input, values.lines);
const width = Math.round(margin.x * 2 + Number(values.columns) * cell.width);
const height = margin.top + lines.length * cell.height + margin.bottom;

const text = lines.map((line, row) => {
  let column = 0;
  const y = (margin.top + (row + 0.75) * cell.height).toFixed(1);
  const drawn = [];
  for (const { text: words, bold, dim, colour } of pieces(line)) {
    // Where white space is wide the next word is placed anew: SVG collapses it, and fonts differ.
    for (const word of words.split(/( {2,}|^ +| +$)/)) {
      const length = [...word].length;
      if (word.trim() !== '') {
        const x = (margin.x + column * cell.width).toFixed(1);
        const weight = bold ? ' font-weight="700"' : '';
        const span = ` textLength="${(length * cell.width).toFixed(1)}" lengthAdjust="spacingAndGlyphs"`;
        drawn.push(
          `<text x="${x}" y="${y}" fill="${colour ?? (dim ? faint : ink)}"${weight}${span}>${escape(word)}</text>`,
        );
      }
      column += length;
    }
  }
  return drawn.join('');
});

process.stdout
  .write(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escape(values.title)}">
<rect width="100%" height="100%" rx="10" fill="${ground}"/>
<g>${['#ff5f57', '#febc2e', '#28c840'].map((fill, i) => `<circle cx="${22 + i * 20}" cy="20" r="6" fill="${fill}"/>`).join('')}</g>
<text x="${width / 2}" y="24" fill="${faint}" text-anchor="middle" font-family="system-ui, sans-serif" font-size="13">${escape(values.title)}</text>
<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="14">
${text.filter(Boolean).join('\n')}
</g>
</svg>
`);
