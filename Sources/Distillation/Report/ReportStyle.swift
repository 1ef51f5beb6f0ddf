/// The page's style sheet.
///
/// Series colours keep a contrast of at least 4.5 : 1 to the page in both schemes and stay apart for the common kinds of
/// colour blindness (after Okabe and Ito 2008, darkened or lightened); markers and dashes differ too.
enum ReportStyle {
  static let sheet: Markup = """
    :root{color-scheme:light dark;
    --page:#fdfdfb;--ink:#1d2126;--soft:#565d66;--rule:#e4e4de;--grid:#ecece7;--panel:#f5f5f1;--link:#00588f;--shade:#0002;
    --c0:#0067a8;--c1:#b84a00;--c2:#007556;--c3:#9c3d78;--c4:#7d6200;--c5:#4a5fc1;--c6:#a3313f;--c7:#50606b}
    @media (prefers-color-scheme:dark){:root{
    --page:#14171a;--ink:#e9e8e4;--soft:#a6adb5;--rule:#2f353b;--grid:#252a30;--panel:#1b1f23;--link:#7cc0f2;--shade:#fff2;
    --c0:#62b2ee;--c1:#ff9352;--c2:#45cba3;--c3:#e793c5;--c4:#dcb64a;--c5:#a3b1ff;--c6:#ff8d93;--c7:#b4c0ca}}
    *{box-sizing:border-box}
    html{-webkit-text-size-adjust:100%}
    body{margin:0 auto;padding:3.5rem 1.5rem 6rem;max-width:68rem;background:var(--page);color:var(--ink);
    font:1rem/1.6 ui-sans-serif,system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","Noto Sans",Arial,sans-serif;
    font-variant-numeric:tabular-nums}
    h1{font-size:2rem;line-height:1.2;font-weight:650;letter-spacing:-.015em;margin:0 0 .75rem;overflow-wrap:anywhere}
    h2{font-size:1.35rem;line-height:1.3;font-weight:650;letter-spacing:-.01em;margin:0 0 1rem}
    h3{font-size:1rem;font-weight:650;margin:2rem 0 .5rem}
    p,ul,dl{max-width:44rem;margin:0 0 1rem}
    li{margin:.15rem 0}
    .lead{color:var(--soft);font-size:1.05rem}
    section{margin-top:4.5rem;padding-top:1.5rem;border-top:1px solid var(--rule)}
    a{color:var(--link);text-underline-offset:.15em}
    :focus-visible{outline:2px solid var(--link);outline-offset:3px;border-radius:2px}
    .skip{position:absolute;left:-99rem}.skip:focus{left:1.5rem;top:1rem}
    nav ol{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;padding:0;margin:1.5rem 0 0;font-size:.925rem}
    small,.soft,figcaption,caption,.none{color:var(--soft)}
    th[scope=row],.words td,.text,h3,li{overflow-wrap:anywhere}
    .scroll{overflow-x:auto;margin:0 0 1.5rem;container-type:inline-size;background:
    linear-gradient(to right,var(--page) 60%,transparent) 0 0/3rem 100% no-repeat local,
    linear-gradient(to left,var(--page) 60%,transparent) 100% 0/3rem 100% no-repeat local,
    linear-gradient(to right,var(--shade),transparent) 0 0/.8rem 100% no-repeat,
    linear-gradient(to left,var(--shade),transparent) 100% 0/.8rem 100% no-repeat}
    table{border-collapse:collapse;font-size:.9rem;line-height:1.4}
    caption{text-align:left;font-size:.9rem;padding:0 0 .6rem;max-width:min(44rem,100cqw)}
    th,td{text-align:right;vertical-align:baseline;padding:.45rem .75rem;border-top:1px solid var(--rule);min-width:3.5rem}
    thead th{border-top:0;color:var(--soft);font-weight:500;vertical-align:bottom;overflow-wrap:normal}
    th[scope=row]{text-align:left;font-weight:500;min-width:8rem}
    tr>:first-child{padding-left:0}
    thead th:first-child{text-align:left}tr>:first-child{padding-left:0!important}
    td b{font-weight:600}
    td small{display:block;font-size:.75rem;white-space:nowrap}
    .words td,.words thead th{text-align:left}
    td{white-space:nowrap}.words td{max-width:38rem;min-width:6.5rem;white-space:normal}
    .metrics td,.metrics th{padding-inline:.35rem}.metrics td{min-width:6.5rem}
    .metrics th[scope=row]{min-width:8.75rem}.metrics th small{display:block;font-weight:400;font-size:.75rem}
    .metrics .delta{margin-top:.3rem}.metrics small b{color:var(--ink)}
    .best b::after{content:" ▲";font-size:.65em;vertical-align:.2em;color:var(--soft)}
    .group th{padding-top:1.4rem;color:var(--soft);border-top:0}
    .run{display:inline-flex;align-items:baseline;max-width:100%;overflow-wrap:anywhere}
    .key{flex:none;width:.7rem;height:.7rem;border-radius:.2rem;margin-right:.45rem;background:var(--c)}
    .key.d1,.key.d2,.key.d3{background:none;border:.18rem solid var(--c)}.key.d2{border-radius:50%}
    .legend{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1.5rem;padding:0;font-size:.9rem;max-width:none}
    .matrix small{color:inherit}
    .matrix td{background:color-mix(in srgb,var(--c0) calc(var(--share)*50%),transparent);text-align:center;
    min-width:5.5rem;border:1px solid var(--page);border-left-width:3px}
    .matrix thead th{text-align:center}.matrix .corner{text-align:left}
    figure{margin:0 0 2rem}
    figcaption{font-size:.9rem;margin:0 0 .5rem;max-width:44rem}
    figcaption b{color:var(--ink);font-weight:600}
    .drawing{overflow-x:auto}.narrow{display:none}
    .grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(29rem,100%),1fr));gap:2rem;margin:0 0 2rem}
    .grid figure{margin:0}.grid th,.grid td{padding-inline:.5rem}.grid th[scope=row]{min-width:5rem}
    .grid.three{grid-template-columns:repeat(auto-fill,minmax(min(19rem,100%),1fr))}
    svg{display:block;max-width:100%;height:auto;min-width:18rem}
    svg text{font-size:12px;fill:var(--soft);unicode-bidi:isolate}
    svg .row-name,svg .row-value{fill:var(--ink);font-size:12.5px}
    svg .name{fill:var(--c)}
    svg .gridline{stroke:var(--grid);stroke-width:1}
    svg .axis{stroke:var(--soft);stroke-width:1;opacity:.55}
    svg .mark{stroke:var(--soft);stroke-width:1;stroke-dasharray:3 4;opacity:.8}
    svg .line{fill:none;stroke:var(--c);stroke-width:1.75;stroke-linejoin:round;stroke-linecap:round}
    svg .main{stroke-width:2.5}
    svg .whisker{stroke:var(--c);stroke-width:2;stroke-linecap:round;opacity:.55}
    svg .base{stroke:var(--soft);stroke-width:1.5}
    svg .gap{stroke:var(--c);stroke-width:5;opacity:.18}
    svg .dot{fill:var(--c);stroke:var(--page);stroke-width:1}
    svg .bar{fill:var(--c);opacity:.75}
    .c0{--c:var(--c0)}.c1{--c:var(--c1)}.c2{--c:var(--c2)}.c3{--c:var(--c3)}
    .c4{--c:var(--c4)}.c5{--c:var(--c5)}.c6{--c:var(--c6)}.c7{--c:var(--c7)}
    svg .line.d1{stroke-dasharray:7 4}svg .line.d2{stroke-dasharray:2 4}svg .line.d3{stroke-dasharray:10 3 2 3}
    details{margin:.25rem 0 1rem;font-size:.925rem}
    summary{cursor:pointer;color:var(--link);width:fit-content}
    details[open]>summary{margin-bottom:.75rem}
    .example{margin:0 0 1.25rem;padding:1.25rem 1.4rem;background:var(--panel);border-radius:.5rem;break-inside:avoid}
    .example h3{margin:0;font-size:1rem}
    .example .text{margin:.1rem 0 .9rem;max-width:none}
    .example .sides{display:grid;grid-template-columns:minmax(16rem,5fr) 7fr;gap:1rem 2rem}
    .example table{width:100%;font-size:.85rem}
    .example th,.example td{padding:.25rem .4rem;border:0;min-width:0}
    .example thead th{text-align:left}
    .example th[scope=row]{min-width:4rem;padding-left:0}
    .share{position:relative;min-width:6rem;text-align:left}
    .share span{position:relative;padding-left:.3rem}
    .share i{position:absolute;left:0;top:.2rem;bottom:.2rem;width:calc(var(--share)*94%);
    background:color-mix(in srgb,var(--c) 32%,transparent);border-left:2px solid var(--c)}
    .rationale{white-space:pre-wrap;font-size:.85rem;line-height:1.5;margin:0;max-width:none;color:var(--ink)}
    .tag{display:inline-block;font-size:.8rem;color:var(--soft);margin-right:1rem}
    code{font:.85em ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
    @media screen and (max-width:46rem){.wide{display:none}.narrow{display:block}
    .matrix td{min-width:4.2rem}.matrix th[scope=row]{min-width:5rem}}
    @media (max-width:46rem){body{padding-top:2rem}.example .sides{grid-template-columns:1fr}section{margin-top:3rem}}
    @media (forced-colors:active){svg .line,svg .whisker{stroke:CanvasText}svg .dot,svg .bar{fill:CanvasText}}
    @media print{
    :root{color-scheme:light;--page:#fff;--ink:#000;--soft:#444;--rule:#ccc;--grid:#e5e5e5;--panel:#f6f6f6;--link:#000;
    --c0:#0067a8;--c1:#b84a00;--c2:#007556;--c3:#9c3d78;--c4:#7d6200;--c5:#4a5fc1;--c6:#a3313f;--c7:#50606b}
    *{print-color-adjust:exact;-webkit-print-color-adjust:exact}
    body{max-width:none;padding:0;font-size:10pt}nav,.skip{display:none}
    section{margin-top:1.5rem}h2,h3,caption,figcaption{break-after:avoid}figure,tr{break-inside:avoid}
    section>p{break-after:avoid}
    .scroll,.drawing{overflow:visible}.scroll{background:none;container-type:normal;break-inside:avoid}
    table,caption,figcaption{font-size:8pt}caption{max-width:44rem}th,td,.words td,.grid th,.grid td{padding-inline:.3rem;min-width:0}
    .metrics{font-size:7pt}.metrics td,.metrics th{padding-inline:.15rem}
    .metrics td{min-width:0}td small,.metrics th small{font-size:6pt}.metrics th[scope=row]{min-width:5rem}
    .grid{grid-template-columns:repeat(2,minmax(0,1fr));gap:1rem}
    .grid.three{grid-template-columns:repeat(3,minmax(0,1fr))}svg{min-width:0}details:not(.settings){display:none}
    .settings::details-content{content-visibility:visible;block-size:auto}}
    """
}
