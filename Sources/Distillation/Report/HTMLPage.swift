/// A whole page that needs nothing beside itself.
struct HTMLPage: Sendable {
  struct Section: Sendable {
    /// The anchor; not from data.
    let id: Markup
    let title: String
    let content: Markup
  }

  let title: String
  let lead: Markup
  let sections: [Section]

  /// The page's bytes as text, from `<!doctype html>` to its last line break.
  var html: String {
    let contents = sections.map { "<li><a href=\"#\($0.id)\">\($0.title)</a></li>" as Markup }.joined(
      separator: "\n")
    let body = sections.map { section in
      """
      <section id="\(section.id)" aria-labelledby="\(section.id)-h">
      <h2 id="\(section.id)-h">\(section.title)</h2>
      \(section.content)
      </section>
      """ as Markup
    }.joined(separator: "\n")
    let page: Markup = """
      <!doctype html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <meta name="color-scheme" content="light dark">
      <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
      <title>\(title)</title>
      <style>
      \(ReportStyle.sheet)
      </style>
      </head>
      <body>
      <a class="skip" href="#main">Skip to the content</a>
      <header>
      <h1>\(PageParts.name(title))</h1>
      \(lead)
      <nav aria-label="Contents"><ol>
      \(contents)
      </ol></nav>
      </header>
      <main id="main">
      \(body)
      </main>
      </body>
      </html>

      """
    return page.source
  }
}

/// Parts that sections share.
enum PageParts {
  /// A text from data whose direction is its own.
  static func isolated(_ text: String) -> Markup { "<bdi>\(text)</bdi>" }

  /// A name from data that may break behind the signs that join its parts.
  static func name(_ text: String) -> Markup {
    var parts: [Markup] = []
    var part = ""
    for character in text {
      part.append(character)
      if "+_/-.,".contains(character) {
        parts.append("\(part)")
        part = ""
      }
    }
    return "<bdi>\((parts + ["\(part)"]).joined(separator: "<wbr/>"))</bdi>"
  }

  /// A wide drawing, and another of the same for pages too narrow for its words.
  static func drawings(wide: Markup, narrow: Markup) -> Markup {
    "<div class=\"wide\">\(wide)</div><div class=\"narrow\">\(narrow)</div>"
  }

  /// A drawing with its caption and, folded away, its numbers as a table.
  static func figure(_ svg: Markup, caption: Markup, data: Markup? = nil) -> Markup {
    let table: Markup = data.map { "<details><summary>The numbers as a table</summary>\($0)</details>" } ?? ""
    return "<figure><figcaption>\(caption)</figcaption><div class=\"drawing\">\(svg)</div>\(table)</figure>"
  }

  /// A table that scrolls by itself where the page is narrow; the first cell of a row is its header.
  static func table(caption: Markup, head: [Markup], rows: [[Markup]], style: Markup = "") -> Markup {
    let header = head.map { "<th scope=\"col\">\($0)</th>" as Markup }.joined()
    let body = rows.map { row in
      let cells = row.enumerated().map { index, cell in
        index == 0 ? "<th scope=\"row\">\(cell)</th>" as Markup : "<td>\(cell)</td>"
      }
      return "<tr>\(cells.joined())</tr>" as Markup
    }.joined(separator: "\n")
    return """
      <div class="scroll" tabindex="0" role="group" aria-label="Table, scrolls sideways"><table class="\(style)">
      <caption>\(caption)</caption>
      <thead><tr>\(header)</tr></thead>
      <tbody>
      \(body)
      </tbody></table></div>
      """
  }

  /// A value with its interval beneath.
  static func estimate(_ value: Double?, _ low: Double?, _ high: Double?) -> Markup {
    guard value != nil else { return "<span class=\"none\" title=\"not defined\">\(Figure.absent)</span>" }
    let interval = Figure.interval(low, high).map { "<small>\($0)</small>" as Markup } ?? ""
    return "<b>\(Figure.text(value))</b>\(interval)"
  }

  static func paragraph(_ text: Markup) -> Markup { "<p>\(text)</p>\n" }

  static func list(_ items: [Markup]) -> Markup {
    guard !items.isEmpty else { return "" }
    return "<ul>\(items.map { "<li>\($0)</li>" as Markup }.joined(separator: "\n"))</ul>\n"
  }

  /// Drawings side by side where there is room.
  static func grid(_ parts: [Markup]) -> Markup {
    "<div class=\"grid\">\(parts.joined(separator: "\n"))</div>\n"
  }
}
