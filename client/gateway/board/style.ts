/** Style sheet of the board; the roles of colours are those of evidence pages. */
export const style = `
:root{--page:#f6f7f9;--card:#fff;--ink:#1c2430;--soft:#5b6676;--line:#e2e6ec;--track:#eceff3;--good:#1a7f4b;--good-soft:#e1f3e8;--bad:#b3261e;--bad-soft:#fbe6e4;--doubtful:#8a5a00;--doubtful-soft:#fbf0d7}
@media(prefers-color-scheme:dark){:root{--page:#0f141b;--card:#171e28;--ink:#e7ecf3;--soft:#9aa7b8;--line:#2a3441;--track:#222b37;--good:#6fd3a0;--good-soft:#14352a;--bad:#ff9c93;--bad-soft:#45201e;--doubtful:#f2c46b;--doubtful-soft:#3d3014}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1180px;margin:0 auto;padding:28px 20px 48px}
header{border-left:5px solid var(--line);padding:2px 0 2px 18px;margin-bottom:20px}
header.good{border-color:var(--good)}header.bad{border-color:var(--bad)}header.doubtful{border-color:var(--doubtful)}
.kind{margin:0;color:var(--soft);font-size:13px}h1{margin:4px 0 8px;font-size:26px;line-height:1.25}h2{margin:0 0 12px;font-size:17px}
.soft{color:var(--soft);font-size:13px}
.badge{display:inline-block;padding:1px 9px;border-radius:99px;font-size:12.5px;font-weight:600;white-space:nowrap;background:var(--track);color:var(--soft)}
.badge.good{background:var(--good-soft);color:var(--good)}.badge.bad{background:var(--bad-soft);color:var(--bad)}.badge.doubtful{background:var(--doubtful-soft);color:var(--doubtful)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin-bottom:16px}
.tile,section{background:var(--card);border:1px solid var(--line);border-radius:10px}.tile{padding:12px 16px}.tile p{margin:0}.tile .name{color:var(--soft);font-size:13px}
.tile .value{font-size:23px;font-weight:650;font-variant-numeric:tabular-nums}.tile.good .value{color:var(--good)}.tile.bad .value{color:var(--bad)}.tile.doubtful .value{color:var(--doubtful)}
section{padding:18px 20px;margin-bottom:16px}.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px}th,td{padding:7px 14px 7px 0;text-align:left;vertical-align:top;border-top:1px solid var(--line);overflow-wrap:anywhere}
thead th{border-top:0;color:var(--soft);font-weight:500;font-size:12.5px;white-space:nowrap}tbody th{font-weight:600;min-width:110px}.n{white-space:nowrap;font-variant-numeric:tabular-nums}
ul{margin:0;padding-left:16px}li.bad{color:var(--bad)}li.doubtful{color:var(--doubtful)}td ul{padding-left:14px}
.run{border-top:1px solid var(--line);padding-top:10px;margin-top:10px}.run:first-of-type{border-top:0}.run p{margin:0 0 6px}
.steps{list-style:none;margin:0;padding:0;font-size:14px}.steps li{padding:1px 0}.steps .completed span:first-child{color:var(--good)}.steps .failed span:first-child{color:var(--bad)}.steps .in-progress{font-weight:600}
code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.9em;overflow-wrap:anywhere}
.staleness{display:none;margin:0;padding:10px 20px;background:var(--bad-soft);color:var(--bad);font-weight:600;text-align:center}.stale .staleness{display:block}.stale main{opacity:.6}
@media(max-width:640px){h1{font-size:21px}main{padding:18px 12px}section{padding:14px}}
`;
