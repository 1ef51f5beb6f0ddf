import Relevance

extension ReportBuilder {
  /// Texts longer than this are cut, so that one pair cannot make the page unreadable.
  static let textLimit = 2000

  /// Where the best run's student and the teacher give different labels.
  var examplesSection: Markup? {
    guard let shown = exampleRun else { return nil }
    let found = Disagreement.of(shown.run, limit: examples)
    guard found.compared > 0, let labels = shown.run.labels else { return nil }
    let share = Figure.percent(Double(found.differing) / Double(found.compared))
    let name: Markup = runs.count > 1 ? "Student: <b>\(PageParts.name(shown.run.name))</b>. " : ""
    var content = PageParts.paragraph(
      """
      \(name)Of \(Figure.count(found.compared)) dev pairs that the teacher has judged, the student gives \
      \(Figure.count(found.differing)) (\(share)) another label. Shown are \(found.examples.count), those whose \
      distributions differ most, at most \(Disagreement.perQuery) of a query.
      """)
    for (place, example) in found.examples.enumerated() {
      content += card(place, example, labels, colour: shown.index)
    }
    return content
  }

  /// The run with the highest AUC among those with something to show; without metrics the first.
  private var exampleRun: (index: Int, run: ReportedRun)? {
    let usable = runs.enumerated().filter { _, run in
      !run.pairs.isEmpty && run.predictions.keys.contains { run.teacherRecord($0) != nil }
    }
    let estimates = usable.map { entry in
      entry.element.evaluation?.overall[.auc] ?? MetricEstimate(value: nil, low: nil, high: nil)
    }
    let place = IntervalWords.best(estimates, .auc) ?? 0
    return usable.indices.contains(place) ? (usable[place].offset, usable[place].element) : nil
  }

  private func card(_ place: Int, _ example: Disagreement, _ labels: LabelSet, colour: Int) -> Markup {
    let gold: Markup =
      example.gold.map { "<span class=\"tag\">Human: <b>\(PageParts.isolated(labels.names[$0]))</b></span>" }
      ?? ""
    let rationale: Markup =
      example.teacher.rationale.map { text in
        "<p class=\"rationale\" dir=\"auto\">\(cut(text))</p>"
      } ?? "<p class=\"soft\">The teacher gave no rationale.</p>"
    return """
      <article class="example" aria-labelledby="example-\(place)">
      <h3 id="example-\(place)" dir="auto">\(cut(example.pair.query))</h3>
      <p class="text" dir="auto">\(cut(example.pair.title))</p>
      <div class="sides"><div>
      \(distributions(example, labels, colour: colour))
      <span class="tag">Student: <b>\(PageParts.isolated(labels.names[example.student.label]))</b></span>\
      <span class="tag">Teacher: <b>\(PageParts.isolated(labels.names[example.teacher.prediction.label]))</b></span>\(gold)
      <span class="tag"><code>\(Figure.shortened(example.pair.pairID, to: 80))</code></span></div>
      <div>\(rationale)</div></div>
      </article>

      """
  }

  private func distributions(_ example: Disagreement, _ labels: LabelSet, colour: Int) -> Markup {
    func cell(_ probability: Double, _ series: Int) -> Markup {
      """
      <td class="share c\(series % SVGChart.colours)"><i style="--share:\(probability)"></i>\
      <span>\(Figure.percent(probability, decimals: 0))</span></td>
      """
    }
    let other = colour % SVGChart.colours == 1 ? 0 : 1
    let rows = labels.names.enumerated().map { place, name in
      """
      <tr><th scope="row">\(PageParts.isolated(name))</th>\
      \(cell(example.student.distribution.probabilities[place], colour))\
      \(cell(example.teacher.prediction.distribution.probabilities[place], other))</tr>
      """ as Markup
    }
    return """
      <table><thead><tr><th scope="col"></th><th scope="col">Student</th><th scope="col">Teacher</th></tr></thead>
      <tbody>\(rows.joined(separator: "\n"))</tbody></table>
      """
  }

  private func cut(_ text: String) -> String { Figure.shortened(text, to: ReportBuilder.textLimit) }

  /// What the teachers' files hold.
  var teacherSection: Markup? {
    var seen: Set<String> = []
    var content: Markup = ""
    let aspects = runs.first { !$0.aspects.isEmpty }?.aspects ?? []
    for isTraining in [true, false] {
      for run in runs {
        for file in run.teachers where file.isTraining == isTraining && seen.insert(file.path).inserted {
          content += teacher(file, aspects: run.aspects.isEmpty ? aspects : run.aspects, place: seen.count)
        }
      }
    }
    return seen.isEmpty ? nil : content
  }

  private func teacher(_ file: TeacherRecords, aspects: [String], place: Int) -> Markup {
    let statistics = TeacherStatistics(file, aspects: aspects)
    let agreement = statistics.agreement
    let shares: (Int) -> String = { count in
      statistics.records > 0 ? Figure.percent(Double(count) / Double(statistics.records)) : Figure.absent
    }
    let interval = Figure.interval(agreement.low, agreement.high).map { " \($0)" } ?? ""
    var facts: [Markup] = [
      "\(Figure.count(statistics.records)) records by \(PageParts.isolated(Figure.list(file.models)))",
      "\(shares(statistics.withRationale)) with a rationale, \(shares(statistics.truncated)) with one that its limit cut short",
    ]
    if let tokens = statistics.meanTokens {
      facts.append("\(Figure.compact(tokens.rounded())) tokens a rationale on average")
    }
    if statistics.judged > 0 {
      facts.append(
        "\(Figure.text(agreement.value))\(interval) of \(Figure.count(statistics.judged)) records with a human label agree with it"
      )
    }
    if !file.promptHashes.isEmpty {
      facts.append(
        "prompt <code>\(Figure.shortened(file.promptHashes.joined(separator: ", "), to: 200))</code>")
    }
    let labelChart = BarChart(
      title: "Labels of the teacher",
      bars: zip(file.labels.names, statistics.labels).map { .init(name: $0, count: $1) })
    let entropyChart = BarChart(
      title: "Entropy of the teacher's distributions",
      bars: statistics.entropies.enumerated().map { bin, count in
        let low = Double(bin) / Double(TeacherStatistics.entropyBins)
        let high = Double(bin + 1) / Double(TeacherStatistics.entropyBins)
        return .init(
          name: "\(Figure.text(low, decimals: 1)) to \(Figure.text(high, decimals: 1))", count: count)
      })
    let role: Markup = file.isTraining ? "Trained on" : "Beside"
    var content: Markup = "<h3>\(role) <code>\(Figure.shortened(file.path, to: 300))</code></h3>\n"
    content += PageParts.list(facts)
    content += PageParts.grid([
      PageParts.figure(labelChart.svg(id: "labels-\(place)"), caption: "<b>Labels</b> of the teacher"),
      PageParts.figure(
        entropyChart.svg(id: "entropy-\(place)"),
        caption: "<b>Entropy</b> of its distributions: 0 is one sure label, 1 all labels alike"),
    ])
    if statistics.judged > 0 {
      content += confusion(
        statistics.againstGold, names: file.labels.names, caption: "<b>Teacher against human labels</b>",
        side: "human ↓ teacher →")
    }
    return content + verdictTable(statistics)
  }

  private func verdictTable(_ statistics: TeacherStatistics) -> Markup {
    guard statistics.verdicts.contains(where: { $0.counts.contains { $0 > 0 } }) else { return "" }
    return PageParts.table(
      caption: "<b>Verdicts</b> of the teacher by aspect, as shares of its records",
      head: ["Aspect"] + Verdict.allCases.map { "\($0.rawValue)" } + ["none"],
      rows: statistics.verdicts.map { entry in
        [PageParts.isolated(entry.aspect)]
          + (entry.counts + [entry.absent]).map { count in
            "\(Figure.percent(statistics.records > 0 ? Double(count) / Double(statistics.records) : nil))"
          }
      })
  }

  /// What runs were trained with, and what of it could not be read.
  var settingsSection: Markup? {
    var content: Markup = ""
    // A note that several runs share is said once.
    let notes = distinct(runs.flatMap(\.notes)).map { note -> Markup in
      let names = runs.enumerated().filter { $0.element.notes.contains(note) }
      if names.count == runs.count { return "\(note)" }
      return "\(names.map { key($0.offset, $0.element.name) }.joined(separator: ", ")): \(note)"
    }
    if !notes.isEmpty { content += "<h3>Not shown</h3>\n" + PageParts.list(notes) }
    if runs.count > 1 { content += differences }
    for (index, run) in runs.enumerated() where !run.settings.isEmpty {
      let table = PageParts.table(
        caption: "Folder <code>\(Figure.shortened(run.path, to: 500))</code>", head: ["Setting", "Value"],
        rows: run.settings.map { ["<code>\($0.key)</code>", "<code>\(cut($0.value))</code>"] }, style: "words"
      )
      content += """
        <details class="settings"><summary>All settings of \(key(index, run.name))</summary>\(table)</details>

        """
    }
    return content == "" ? nil : content
  }

  /// The settings that are not the same in all runs.
  private var differences: Markup {
    let values = runs.map { run in
      Dictionary(run.settings.map { ($0.key, $0.value) }) { _, later in later }
    }
    let differing = distinct(runs.flatMap { $0.settings.map(\.key) }).sorted()
      .filter { key in Set(values.map { $0[key] ?? "" }).count > 1 }
    // Other files have other rows, which the list of all settings has.
    let keys = differing.filter { key in
      !(key.hasSuffix(".rows") && differing.contains(key.dropLast(4) + "sha256"))
    }
    guard !keys.isEmpty else { return "" }
    return PageParts.table(
      caption: "<b>Settings in which the runs differ</b>; hashes by their beginnings",
      head: ["Run"] + keys.map { PageParts.name($0) },
      rows: runs.enumerated().map { index, run in
        [key(index, run.name)]
          + keys.map { name in
            let value = values[index][name] ?? ""
            let words =
              name.hasSuffix("sha256") ? Figure.shortened(value, to: 9) : Figure.abridged(value, to: 60)
            return "<code>\(words.isEmpty ? Figure.absent : words)</code>"
          }
      }, style: "words")
  }
}
