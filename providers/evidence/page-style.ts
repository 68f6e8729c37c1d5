/** Style sheet of the page; colours by role, once for light and once for dark. */
export const style = `
:root{--page:#f6f7f9;--card:#fff;--ink:#1c2430;--soft:#5b6676;--line:#e2e6ec;--track:#eceff3;--good:#1a7f4b;--good-soft:#e1f3e8;--bad:#b3261e;--bad-soft:#fbe6e4;--doubtful:#8a5a00;--doubtful-soft:#fbf0d7;--bar-good:#2fa36b;--bar-bad:#d9534a;--bar-doubtful:#d9a02b}
@media(prefers-color-scheme:dark){:root{--page:#0f141b;--card:#171e28;--ink:#e7ecf3;--soft:#9aa7b8;--line:#2a3441;--track:#222b37;--good:#6fd3a0;--good-soft:#14352a;--bad:#ff9c93;--bad-soft:#45201e;--doubtful:#f2c46b;--doubtful-soft:#3d3014;--bar-good:#3cae78;--bar-bad:#e2675f;--bar-doubtful:#d9a02b}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1020px;margin:0 auto;padding:28px 20px 48px}
header{border-left:5px solid var(--line);padding:2px 0 2px 18px;margin-bottom:20px}
header.good{border-color:var(--bar-good)}header.bad{border-color:var(--bar-bad)}header.doubtful{border-color:var(--bar-doubtful)}
.kind{margin:0;color:var(--soft);font-size:13px}
h1{margin:4px 0 8px;font-size:26px;line-height:1.25;overflow-wrap:anywhere}
h2{margin:0 0 12px;font-size:17px}
.status{margin:0}
.badge{display:inline-block;padding:1px 9px;border-radius:99px;font-size:12.5px;font-weight:600;white-space:nowrap;background:var(--track);color:var(--soft)}
.badge.good{background:var(--good-soft);color:var(--good)}.badge.bad{background:var(--bad-soft);color:var(--bad)}.badge.doubtful{background:var(--doubtful-soft);color:var(--doubtful)}
header .badge{font-size:14px;padding:3px 12px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(190px,1fr));gap:12px;margin-bottom:16px}
.tile,section{background:var(--card);border:1px solid var(--line);border-radius:10px}
.tile{padding:12px 16px}.tile p{margin:0}.tile .name,.tile .note{color:var(--soft);font-size:13px}.tile .value{font-size:23px;font-weight:650;font-variant-numeric:tabular-nums}
.tile.good .value{color:var(--good)}.tile.bad .value{color:var(--bad)}.tile.doubtful .value{color:var(--doubtful)}
section{padding:18px 20px;margin-bottom:16px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px}
th,td{padding:7px 14px 7px 0;text-align:left;vertical-align:top;border-top:1px solid var(--line);overflow-wrap:anywhere}
thead th{border-top:0;color:var(--soft);font-weight:500;font-size:12.5px;white-space:nowrap}
tbody th{font-weight:550}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.meter{white-space:nowrap;min-width:220px}.gauge{width:130px;height:8px;vertical-align:middle}.share{color:var(--soft);font-size:12.5px;font-variant-numeric:tabular-nums}
svg{display:block;width:100%;min-width:620px;height:auto}svg.gauge{display:inline-block;min-width:0}
.track{fill:var(--track)}.bar{fill:var(--soft)}.bar.good{fill:var(--bar-good)}.bar.bad{fill:var(--bar-bad)}.bar.doubtful{fill:var(--bar-doubtful)}.bar.none{fill:var(--line)}
.grid{stroke:var(--line);stroke-width:1}.tick,.took{fill:var(--soft);font-size:12px}svg .name{fill:var(--ink);font-size:13px}
details{margin-top:12px}summary{cursor:pointer;color:var(--soft);font-size:13px;margin-bottom:8px}
.advice{margin:0;padding-left:20px}.advice li{margin:5px 0}
dl{display:grid;grid-template-columns:minmax(140px,max-content) 1fr;gap:6px 18px;margin:0;font-size:14px}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
dd b{font-weight:550}.pair{display:inline-block;margin-right:16px}dd table{width:auto}
pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere;font-size:12.5px}
code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.92em;overflow-wrap:anywhere}
footer{color:var(--soft);font-size:12.5px;margin-top:22px}footer p{margin:4px 0}
@media(max-width:560px){h1{font-size:21px}main{padding:18px 12px}section{padding:14px}dl{grid-template-columns:1fr;gap:2px}dd{margin-bottom:8px}}
@media print{body{background:#fff}section,.tile{break-inside:avoid}}
`;
