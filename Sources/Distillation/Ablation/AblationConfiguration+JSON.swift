import Basics
import ModelFormats
import Relevance
import Training

extension AblationConfiguration {
  private static let maximumFileBytes = 1 << 20

  /// Reads the JSON file; options have the names that `retort distill` gives them, in snake case.
  ///
  /// - Throws: `fileUnavailable`; `malformedFile` with file and field for what is missing, unknown, of the wrong type
  ///   or out of range.
  public init(path: String) throws {
    let file = try MappedFile(path: path)
    guard file.bytes.count <= Self.maximumFileBytes else {
      throw RetortError(
        .malformedFile, "\(file.bytes.count) bytes", file: path, remedy: "Pass the JSON file of a grid.")
    }
    do {
      try self.init(json: withExtendedLifetime(file) { Array(file.bytes) })
    } catch let error as RetortError {
      throw error.naming(file: path)
    }
  }

  /// Parses the JSON object.
  ///
  /// - Throws: as ``init(path:)``, without the file.
  public init(json bytes: [UInt8]) throws {
    self.init()
    let root: JSONValue
    do {
      root = try JSONValue.parse(bytes)
    } catch let problem as JSONProblem {
      throw RetortError(
        .malformedFile, "not valid JSON: \(problem.message)", position: "byte \(problem.offset)",
        remedy: "Correct the JSON at that place.")
    }
    guard case .object(let values) = root else {
      throw AblationField.problem("", "expected an object, found \(root.kind)")
    }
    for (name, value) in values.sorted(by: { $0.key < $1.key }) {
      let field = AblationField(name: name, value: value)
      guard try readGrid(field) || readModel(field) || readTraining(field) else {
        throw AblationField.problem(name, "there is no such option", "Write one of: \(Self.known).")
      }
    }
    try check(values)
  }

  private static let known = """
    train, teacher, teacher_dev, dev, labels, output, init, students, losses, seeds, weights, temperature, \
    calibrate_teacher, epochs, batch, batch_tokens, learning_rate, schedule, warm_up, weight_decay, layer_decay, \
    dropout, clip, max_length, slot_width, compute, watch, evaluate_every, patience, limit, checkpoint_seconds, \
    resamples
    """

  private mutating func readGrid(_ field: AblationField) throws -> Bool {
    switch field.name {
    case "train": train = try field.texts()
    case "teacher": teacher = try field.text()
    case "teacher_dev": teacherDev = try field.text()
    case "dev": dev = try field.text()
    case "labels": labels = try field.text()
    case "output": output = try field.text()
    case "init": initial = try field.text()
    case "students": students = try field.list { try $0.choice(StudentKind.self) }
    case "losses":
      losses = try field.list { row in
        let named = try row.list { try $0.choice(LossTerm.self) }
        return LossTerm.allCases.filter(named.contains)
      }
    case "seeds": seeds = try field.list { UInt64(try $0.whole(0...(.max))) }
    case "checkpoint_seconds": checkpointSeconds = try field.number(SettingLimits.checkpointSeconds)
    case "resamples": resamples = try field.whole(0...QueryBootstrap.maximumResamples)
    default: return false
    }
    return true
  }

  private mutating func readModel(_ field: AblationField) throws -> Bool {
    switch field.name {
    case "weights": shared.weights = try field.weights()
    case "calibrate_teacher": shared.calibratesTeacher = try field.flag()
    case "temperature": shared.temperature = try field.number(SettingLimits.temperature)
    case "max_length": shared.maximumLength = try field.whole(5...(1 << 20))
    case "slot_width": shared.slotWidth = try field.whole(SettingLimits.slotWidth)
    case "compute":
      shared.compute = try field.text()
      guard ["bf16", "f32"].contains(shared.compute) else { throw field.problem("expected bf16 or f32") }
    case "watch": shared.watch = try field.choice(Metric.self).rawValue
    case "limit": shared.limit = try field.whole(SettingLimits.counts)
    default: return false
    }
    return true
  }

  private mutating func readTraining(_ field: AblationField) throws -> Bool {
    switch field.name {
    case "epochs": shared.epochs = try field.whole(SettingLimits.epochs)
    case "batch": shared.batch = try field.whole(SettingLimits.batch)
    case "batch_tokens": shared.batchTokens = try field.whole(SettingLimits.batchTokens)
    case "learning_rate", "lr": shared.learningRate = try field.number(SettingLimits.learningRate)
    case "schedule": shared.schedule = try field.choice(LearningRateSchedule.Shape.self)
    case "warm_up": shared.warmUp = try field.number(SettingLimits.warmUp)
    case "weight_decay": shared.weightDecay = try field.number(SettingLimits.weightDecay)
    case "layer_decay": shared.layerDecay = try field.number(SettingLimits.layerDecay)
    case "dropout": shared.dropout = try field.number(SettingLimits.dropout)
    case "clip": shared.clip = try field.number(SettingLimits.clip)
    case "evaluate_every": shared.evaluateEvery = try field.whole(SettingLimits.counts)
    case "patience": shared.patience = try field.whole(SettingLimits.counts)
    default: return false
    }
    return true
  }

  private func check(_ values: [String: JSONValue]) throws {
    for name in ["train", "dev", "output", "init"] where values[name] == nil {
      throw AblationField.problem(
        name, "the field is missing", "Give it; 'retort ablate --help' shows a file.")
    }
    for (name, count, distinct) in [
      ("students", students.count, Set(students).count), ("losses", losses.count, Set(losses).count),
      ("seeds", seeds.count, Set(seeds).count), ("train", train.count, Set(train).count),
    ] where count != distinct {
      throw AblationField.problem(name, "an entry stands twice", "Name every one once.")
    }
    if teacher == nil, shared.calibratesTeacher {
      throw AblationField.problem(
        "calibrate_teacher", "there is no teacher", "Give \"teacher\" a file of records of 'retort label'.")
    }
    if teacher == nil, let index = losses.firstIndex(where: Self.needsTeacher) {
      throw AblationField.problem(
        values["losses"] == nil ? "teacher" : "losses[\(index)]",
        "\(Self.name(losses[index])) needs a teacher",
        "Give \"teacher\" a file of records of 'retort label', or only [[\"hard\"]] for losses.")
    }
  }
}

/// A value of the configuration and its place in it.
struct AblationField {
  let name: String
  let value: JSONValue

  static func problem(_ field: String, _ message: String, _ remedy: String? = nil) -> RetortError {
    RetortError(
      .malformedFile, message, field: field.isEmpty ? nil : field,
      remedy: remedy ?? "Correct it; 'retort ablate --help' shows a file.")
  }

  func problem(_ message: String) -> RetortError { Self.problem(name, message) }

  func text() throws -> String {
    guard case .string(let text) = value, !text.isEmpty else {
      throw problem("expected a text, found \(value.kind)")
    }
    return text
  }

  /// One text, or several in a list.
  func texts() throws -> [String] {
    if case .string = value { return [try text()] }
    return try list { try $0.text() }
  }

  /// At least one entry.
  func list<Entry>(_ read: (AblationField) throws -> Entry) throws -> [Entry] {
    guard case .array(let entries) = value, !entries.isEmpty else {
      throw problem("expected a list with entries, found \(value.kind)")
    }
    return try entries.enumerated().map { try read(AblationField(name: "\(name)[\($0)]", value: $1)) }
  }

  func choice<Choice: RawRepresentable & CaseIterable>(_ type: Choice.Type) throws -> Choice
  where Choice.RawValue == String {
    guard case .string(let text) = value, let choice = Choice(rawValue: text) else {
      throw problem("expected one of: \(Choice.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    return choice
  }

  func flag() throws -> Bool {
    guard case .bool(let flag) = value else { throw problem("expected true or false, found \(value.kind)") }
    return flag
  }

  func whole(_ range: ClosedRange<Int>) throws -> Int {
    guard case .number(let digits) = value, let number = Int(digits), range.contains(number) else {
      throw problem("expected a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  func number(_ range: ClosedRange<Double>) throws -> Double {
    guard case .number(let digits) = value, let number = Double(digits), range.contains(number) else {
      throw problem("expected a number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  /// Three numbers, or an object of them by the terms' names.
  func weights() throws -> [String: Double] {
    let limit = SettingLimits.weights
    if case .object(let entries) = value {
      return try Dictionary(
        uniqueKeysWithValues: entries.map { key, value in
          let field = AblationField(name: "\(name).\(key)", value: value)
          guard LossTerm(rawValue: key) != nil else { throw field.problem("there is no such loss") }
          return (key, try field.number(limit))
        })
    }
    let numbers = try list { try $0.number(limit) }
    guard numbers.count == LossTerm.allCases.count else {
      throw problem("expected three numbers: hard, score, reasoning")
    }
    return Dictionary(uniqueKeysWithValues: zip(LossTerm.allCases.map(\.rawValue), numbers))
  }
}
