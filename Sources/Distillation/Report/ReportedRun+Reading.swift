import Basics
import Relevance

extension ReportedRun {
  /// The order in which losses are named.
  private static let lossOrder = ["hard", "score", "reasoning"]
  /// The format of `retort.json` that this code reads.
  private static let format = 1.0

  /// Takes student, labels and aspects from `retort.json`.
  mutating func read(manifest path: String) throws {
    let fields = try RunJSON.object(path: path)
    if let format = try fields.number("format"), format != ReportedRun.format {
      throw RetortError(
        .unsupported, "the format is \(Figure.compact(format)), this program reads 1", file: path,
        field: "format", remedy: "Use the version of retort that trained the run, or a newer one.")
    }
    student = try fields.text("student")
    baseModel = try fields.text("base_model")
    if fields["labels"] != nil {
      do {
        labels = try LabelSet(path: path)
      } catch let error as RetortError {
        throw error.naming(file: path)
      }
    }
    aspects = try ReportedRun.names(fields, "aspects") ?? []
  }

  /// Takes the losses and every setting from `settings.json`.
  mutating func read(settings fields: RunFields) throws {
    settings = ReportedRun.flattened(.object(fields.fields), at: "")
    // Options may stand in an object of their own.
    let places = [fields] + ["options", "settings"].compactMap { try? fields.object($0) }
    for place in places {
      if losses.isEmpty { losses = try ReportedRun.names(place, "losses") ?? [] }
      if student == nil { student = try place.text("student") }
      if baseModel == nil { baseModel = try place.text("base_model") }
      if aspects.isEmpty { aspects = try ReportedRun.names(place, "aspects") ?? [] }
    }
    losses =
      ReportedRun.lossOrder.filter(losses.contains) + losses.filter { !ReportedRun.lossOrder.contains($0) }
  }

  /// Names from an array of strings or of objects with a name, an object of numbers, or a text with commas.
  private static func names(_ fields: RunFields, _ name: String) throws -> [String]? {
    switch fields[name] {
    case nil, .null: return nil
    case .string(let text):
      return text.split(separator: ",").map { String($0).trimmingSpaces }.filter { !$0.isEmpty }
    case .array(let items):
      return try items.enumerated().map { index, item in
        switch item {
        case .string(let text): return text
        case .object(let fields):
          if case .string(let text)? = fields["name"] { return text }
        default: break
        }
        throw fields.problem("expected a name", "\(name)[\(index)]")
      }
    case .object(let entries):
      return entries.keys.sorted().filter { key in
        if case .number(let digits)? = entries[key] { return Double(digits) != 0 }
        return true
      }
    default: throw fields.problem("expected an array of names", name)
    }
  }

  /// Every plain value with its place, sorted.
  private static func flattened(_ value: JSONValue, at place: String) -> [(key: String, value: String)] {
    switch value {
    case .object(let fields):
      return fields.keys.sorted().flatMap { key in
        flattened(fields[key] ?? .null, at: place.isEmpty ? key : "\(place).\(key)")
      }
    case .array(let items):
      let plain = items.compactMap(word)
      if plain.count == items.count { return [(place, plain.joined(separator: ", "))] }
      return items.enumerated().flatMap { flattened($1, at: "\(place)[\($0)]") }
    default: return [(place, word(value) ?? "")]
    }
  }

  private static func word(_ value: JSONValue) -> String? {
    switch value {
    case .null: "none"
    case .bool(let flag): flag ? "yes" : "no"
    case .number(let text), .string(let text): text
    case .array, .object: nil
    }
  }
}

extension String {
  /// Without spaces and tabs at its ends.
  fileprivate var trimmingSpaces: String {
    guard let start = firstIndex(where: { !$0.isWhitespace }),
      let end = lastIndex(where: { !$0.isWhitespace })
    else { return "" }
    return String(self[start...end])
  }
}

extension RunLog {
  /// Reads `training.jsonl`.
  init(path: String) throws {
    try RunJSON.lines(path: path) { line in
      guard let step = try line.number("step") else { throw line.problem("the step is missing", "step") }
      let epoch = try line.number("epoch")
      if let dev = try line.object("dev") {
        checks.append(Check(step: step, epoch: epoch, metrics: try RunLog.metrics(dev)))
      }
      guard line["loss"] != nil else { return }
      let parts = try line.object("parts")
      steps.append(
        Step(
          step: step, epoch: epoch, loss: try line.number("loss"),
          parts: try parts.map(RunLog.numbers) ?? [:], learningRate: try line.number("learning_rate"),
          gradientNorm: try line.number("gradient_norm"), rows: try line.number("rows"),
          tokens: try line.number("tokens")))
    }
    // A resumed run may log steps again; the later line is what its weights come from.
    steps = RunLog.latest(steps, \.step)
    checks = RunLog.latest(checks, \.step)
  }

  /// Reads `timing.jsonl`.
  mutating func read(timing path: String) throws {
    var known: [Double: Double] = [:]
    try RunJSON.lines(path: path) { line in
      guard let step = try line.number("step") else { throw line.problem("the step is missing", "step") }
      // As of the log, the later line of a step counts.
      if let value = try line.number("step_seconds"), value >= 0 { known[step] = value }
    }
    seconds = steps.compactMap { known[$0.step] }
  }

  /// One line a step, the last, in order of the steps.
  private static func latest<Line>(_ lines: [Line], _ step: (Line) -> Double) -> [Line] {
    var places: [Double: Line] = [:]
    for line in lines { places[step(line)] = line }
    return places.sorted { $0.key < $1.key }.map(\.value)
  }

  private static func numbers(_ fields: RunFields) throws -> [String: Double] {
    try fields.fields.keys.reduce(into: [:]) { $0[$1] = try fields.number($1) }
  }

  /// A metric is a number, or an object with a `value` as `retort eval` gives it.
  private static func metrics(_ fields: RunFields) throws -> [String: Double] {
    var result: [String: Double] = [:]
    for name in fields.fields.keys.sorted() {
      switch fields[name] {
      case .number(let digits): result[name] = RunFields.finite(digits)
      case .object: result[name] = try fields.object(name)?.number("value")
      default: continue
      }
    }
    return result
  }
}
