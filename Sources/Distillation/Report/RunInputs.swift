import Basics
import Foundation
import Relevance

/// What the teacher said of one pair.
struct TeacherRecord: Sendable {
  let pairID: String
  let prediction: Prediction
  let rationale: String?
  let verdicts: [String: Verdict]
  let isTruncated: Bool
  let generatedTokens: Double?
}

/// A file of teacher records and the human labels of its pairs.
struct TeacherRecords: Sendable {
  let path: String
  let labels: LabelSet
  /// In order of `pair_id`.
  let records: [TeacherRecord]
  let models: [String]
  let promptHashes: [String]
  /// Human labels by `pair_id`, where an input of the run has them.
  var gold: [String: Int] = [:]
  /// Whether a run was trained with it.
  var isTraining = true

  func record(_ pairID: String) -> TeacherRecord? {
    var low = 0
    var high = records.count
    while low < high {
      let middle = (low + high) / 2
      if records[middle].pairID < pairID { low = middle + 1 } else { high = middle }
    }
    return low < records.count && records[low].pairID == pairID ? records[low] : nil
  }
}

/// The files that runs' settings name, each read once however many runs share it.
struct RunInputs {
  private struct Source: Hashable {
    let path: String
    let sha256: String?
  }

  private var pairs: [Source: Result<[String: Pair], RetortError>] = [:]
  private var gold: [Source: Result<[String: String], RetortError>] = [:]
  private var teachers: [String: Result<TeacherRecords, RetortError>] = [:]
  private var hashes: [String: String] = [:]

  /// Gives a run what its inputs still say; what they no longer do becomes a note.
  mutating func attach(_ settings: RunFields, folder: String, to run: inout ReportedRun) throws {
    let inputs = try settings.object("inputs") ?? RunFields(fields: [:], file: settings.file)
    for source in try RunInputs.sources(inputs, "dev", at: "inputs.dev") {
      RunInputs.noting("dev", source, &run) { run in
        run.pairs.merge(try readPairs(source, folder)) { $1 }
      }
    }
    for (pairID, pair) in run.pairs { run.gold[pairID] = pair.label }
    guard let labels = run.labels else { return }
    let teachers = try RunInputs.sources(inputs, "teacher", at: "inputs.teacher")
    // Labels of the training pairs only say how far a teacher agrees with them.
    for source in try RunInputs.sources(settings, "train", at: "train") where !teachers.isEmpty {
      RunInputs.noting("train", source, &run) { run in
        run.gold.merge(try readGold(source, folder)) { known, _ in known }
      }
    }
    for source in teachers {
      RunInputs.noting("teacher", source, &run) { run in
        run.add(try readTeacher(source, folder, labels))
      }
    }
  }

  /// Gives the runs the records of a file that they were not trained with.
  ///
  /// - Throws: what is wrong with the file where no run can use it.
  mutating func add(teacher path: String, to runs: inout [ReportedRun]) throws {
    var problem: RetortError?
    var isUsed = false
    for index in runs.indices {
      guard let labels = runs[index].labels else { continue }
      do {
        var file = try readTeacher(Source(path: path, sha256: nil), nil, labels)
        file.isTraining = false
        runs[index].add(file)
        isUsed = true
      } catch let error as RetortError {
        problem = error
        runs[index].notes.append(RunInputs.note("teacher", path, error))
      }
    }
    if let problem, !isUsed { throw problem }
  }

  /// Uses an input; what is wrong with it becomes a note of the run.
  private static func noting(
    _ name: String, _ source: Source, _ run: inout ReportedRun, _ use: (inout ReportedRun) throws -> Void
  ) {
    do {
      try use(&run)
    } catch let error as RetortError {
      run.notes.append(note(name, source.path, error))
    } catch {
      run.notes.append("The \(name) file \(source.path) is not used: \(error).")
    }
  }

  private static func note(_ name: String, _ path: String, _ error: RetortError) -> String {
    let place = error.position.map { "\($0): " } ?? ""
    return "The \(name) file \(path) is not used: \(place)\(error.message)."
  }

  /// An input is a path, an object with path and hash, or an array of these.
  private static func sources(_ inputs: RunFields, _ name: String, at place: String) throws -> [Source] {
    func source(_ value: JSONValue) throws -> Source? {
      switch value {
      case .null: return nil
      case .string(let path): return Source(path: path, sha256: nil)
      case .object(let fields):
        let entry = RunFields(fields: fields, file: inputs.file)
        guard let path = try entry.text("path") else {
          throw inputs.problem("the path is missing", "\(place).path")
        }
        return Source(path: path, sha256: try entry.text("sha256"))
      default: throw inputs.problem("expected an object with path and sha256", place)
      }
    }
    guard let value = inputs[name] else { return [] }
    if case .array(let items) = value { return try items.compactMap(source) }
    return try source(value).map { [$0] } ?? []
  }

  /// The file as it was named, or beside the run; its hash must be what the settings say.
  private mutating func find(_ source: Source, _ folder: String?) throws -> String {
    var path = source.path
    if let folder, !path.hasPrefix("/"), !FileManager.default.fileExists(atPath: path) {
      path = folder + "/" + path
    }
    let file = try MappedFile(path: path)
    guard let wanted = source.sha256 else { return path }
    let found: String
    if let known = hashes[path] {
      found = known
    } else {
      var hash = SHA256()
      hash.update(file.bytes)
      found = SHA256.hex(hash.finish())
      hashes[path] = found
    }
    guard found == wanted.lowercased() else {
      throw RetortError(
        .malformedFile, "it has changed since the run was trained", file: path, field: "sha256",
        remedy: "Restore the file that the run was trained with.")
    }
    return path
  }

  private mutating func readPairs(_ source: Source, _ folder: String) throws -> [String: Pair] {
    if let known = pairs[source] { return try known.get() }
    let result: Result<[String: Pair], RetortError>
    do {
      let reader = try PairReader(path: try find(source, folder))
      var found: [String: Pair] = [:]
      while let row = try reader.next() {
        if case .pair(let pair, _) = row { found[pair.pairID] = pair }
      }
      result = .success(found)
    } catch let error as RetortError {
      result = .failure(error)
    }
    pairs[source] = result
    return try result.get()
  }

  /// The human labels of a file by `pair_id`, without its texts.
  private mutating func readGold(_ source: Source, _ folder: String) throws -> [String: String] {
    if let known = gold[source] { return try known.get() }
    let result: Result<[String: String], RetortError>
    do {
      let reader = try PairReader(path: try find(source, folder))
      var found: [String: String] = [:]
      while let row = try reader.next() {
        if case .pair(let pair, _) = row { found[pair.pairID] = pair.label }
      }
      result = .success(found)
    } catch let error as RetortError {
      result = .failure(error)
    }
    gold[source] = result
    return try result.get()
  }

  private mutating func readTeacher(_ source: Source, _ folder: String?, _ labels: LabelSet) throws
    -> TeacherRecords
  {
    // Runs may differ in their label sets, and so in how they read a file.
    let key = "\(source.sha256 ?? "") \(source.path) \(labels.json)"
    if let known = teachers[key] { return try known.get() }
    let result: Result<TeacherRecords, RetortError>
    do {
      result = .success(try TeacherRecords(path: try find(source, folder), labels: labels))
    } catch let error as RetortError {
      result = .failure(error)
    }
    teachers[key] = result
    return try result.get()
  }
}

extension TeacherRecords {
  /// Reads records as `retort label` writes them.
  init(path: String, labels: LabelSet) throws {
    let predictions = try PredictionFile(path: path, labels: labels).predictions
    var records: [TeacherRecord] = []
    var models: Set<String> = []
    var hashes: Set<String> = []
    try RunJSON.lines(path: path) { line in
      guard let pairID = try line.text("pair_id"), let prediction = predictions[pairID] else { return }
      if let model = try line.text("model") { models.insert(model) }
      if let hash = try line.text("prompt_hash") { hashes.insert(hash) }
      records.append(
        TeacherRecord(
          pairID: pairID, prediction: prediction, rationale: try line.text("rationale"),
          verdicts: try line.verdicts(), isTruncated: line["truncated"] == .bool(true),
          generatedTokens: try line.object("tokens")?.number("generated")))
    }
    self.path = path
    self.labels = labels
    self.records = records.sorted { $0.pairID < $1.pairID }
    self.models = models.sorted()
    promptHashes = hashes.sorted()
  }
}
