import Basics
import Foundation
import Relevance

/// Reads the folders of training runs, and the files their settings name.
public struct RunFolder {
  /// Files that several runs share, read once.
  private var files = RunInputs()

  /// Reads the runs in the order given; of the folder of a grid, as `retort ablate` writes it, all of its runs.
  ///
  /// Of a run, `retort.json`, `settings.json`, `training.jsonl`, `timing.jsonl`, `dev_predictions.jsonl` and
  /// `evaluation.json` are read; what is not there yet is noted. Of the files that the settings name under `inputs`,
  /// those that are gone or have changed are noted and not used.
  ///
  /// - Parameter teachers: files of teacher records beyond those that the runs were trained with, as of the dev pairs.
  /// - Throws: `fileUnavailable` for a folder that is not there or holds none of these files; `malformedFile` or
  ///   `malformedRow` with file, field and line where one breaks its format; `invalidArgument` for a folder given twice;
  ///   what is wrong with a file of `teachers` where no run can use it.
  public static func read(_ paths: [String], teachers: [String] = []) throws -> [ReportedRun] {
    var reader = RunFolder()
    let folders = try paths.flatMap(runs)
    let names = try names(folders)
    var runs = try zip(folders, names).map { try reader.run($0, name: $1) }
    for path in teachers { try reader.files.add(teacher: path, to: &runs) }
    for index in runs.indices { runs[index].noteMissingVerdicts() }
    return runs
  }

  private mutating func run(_ path: String, name: String) throws -> ReportedRun {
    var run = ReportedRun(path: path, name: name)
    func file(_ name: String) -> String? {
      let whole = path.hasSuffix("/") ? path + name : path + "/" + name
      return FileManager.default.fileExists(atPath: whole) ? whole : nil
    }
    let settings = try file("settings.json").map { try RunJSON.object(path: $0) }
    if let manifest = file("retort.json") { try run.read(manifest: manifest) }
    if let settings { try run.read(settings: settings) }
    if let log = file("training.jsonl") { run.log = try RunLog(path: log) }
    if let timing = file("timing.jsonl") { try run.log.read(timing: timing) }
    if let evaluation = file("evaluation.json") {
      run.evaluation = try RunFolder.decoded(
        evaluation, "not an evaluation of one set of predictions",
        "Write it with 'retort eval --json', or train the run again.")
    }
    if let predictions = file("dev_predictions.jsonl") {
      if let labels = run.labels {
        run.predictions = try RunFolder.predictions(predictions, labels)
      } else {
        run.notes.append("dev_predictions.jsonl is not shown: without retort.json its labels are unknown.")
      }
    }
    run.noteMissingPredictions()
    let absences = [
      ("retort.json", "so the label set is not known and the teacher is not shown"),
      ("settings.json", "so settings, inputs and the teacher are not shown"),
      ("training.jsonl", "so there are no curves"),
      (
        "evaluation.json",
        "so there are no metrics: the run is still going on, or was ended before its evaluation"
      ),
      ("dev_predictions.jsonl", "so single predictions are not shown"),
    ]
    for (name, consequence) in absences where file(name) == nil {
      run.notes.append("\(name) is absent, \(consequence).")
    }
    if let settings { try files.attach(settings, folder: path, to: &run) }
    return run
  }

  /// Files of which a run's folder has at least one.
  private static let known = ["retort.json", "settings.json", "training.jsonl", "evaluation.json"]

  private static func isRun(_ path: String) -> Bool {
    known.contains { FileManager.default.fileExists(atPath: path + "/" + $0) }
  }

  /// The folder itself where it is a run's, else those in it.
  private static func runs(_ path: String) throws -> [String] {
    let remedy = "Pass the output folder of 'retort distill' or of 'retort ablate'."
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue else {
      throw RetortError(
        .fileUnavailable, "there is no such folder", file: path, field: "run", remedy: remedy)
    }
    if isRun(path) { return [path] }
    let start = path.hasSuffix("/") ? path : path + "/"
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    let cells = names.filter { isRun(start + $0) }.sorted { ReportedGrid.precedes($0, $1) }
    guard !cells.isEmpty else {
      throw RetortError(
        .fileUnavailable,
        "neither the folder nor one in it holds a training run: none of \(known.joined(separator: ", "))",
        file: path, field: "run", remedy: remedy)
    }
    return cells.map { start + $0 }
  }

  /// Last components, or where these are not unique as many as are.
  static func names(_ paths: [String]) throws -> [String] {
    let parts = paths.map { path in
      path.split(separator: "/").filter { $0 != "." }.map(String.init)
    }
    for (index, path) in paths.enumerated() where parts[..<index].contains(parts[index]) {
      throw RetortError(
        .invalidArgument, "the folder is given twice", file: path, field: "run",
        remedy: "Name each run once.")
    }
    let longest = parts.map(\.count).max() ?? 0
    for count in 1...max(1, longest) {
      let names = parts.map { $0.suffix(count).joined(separator: "/") }
      if Set(names).count == names.count, !names.contains("") { return names }
    }
    return paths
  }

  /// What a JSON file holds.
  ///
  /// - Throws: `fileUnavailable`; `malformedFile` with `message`, the field and `remedy`.
  static func decoded<Content: Decodable>(_ path: String, _ message: String, _ remedy: String) throws
    -> Content
  {
    let file = try MappedFile(path: path)
    do {
      return try JSONDecoder().decode(
        Content.self, from: withExtendedLifetime(file) { Data(file.bytes) })
    } catch let error as DecodingError {
      throw RetortError(.malformedFile, message, file: path, field: field(error), remedy: remedy)
    }
  }

  private static func field(_ error: DecodingError) -> String? {
    let (context, key): (DecodingError.Context, (any CodingKey)?) =
      switch error {
      case .keyNotFound(let key, let context): (context, key)
      case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
        (context, nil)
      @unknown default: (DecodingError.Context(codingPath: [], debugDescription: ""), nil)
      }
    let path = (context.codingPath + (key.map { [$0] } ?? [])).map(\.stringValue).joined(separator: ".")
    return path.isEmpty ? nil : path
  }

  private static func predictions(_ path: String, _ labels: LabelSet) throws -> [String: StudentPrediction] {
    let known = try PredictionFile(path: path, labels: labels).predictions
    var verdicts: [String: [String: Verdict]] = [:]
    try RunJSON.lines(path: path) { line in
      guard let pairID = try line.text("pair_id") else { return }
      verdicts[pairID] = try line.verdicts()
    }
    return known.reduce(into: [:]) {
      $0[$1.key] = StudentPrediction(prediction: $1.value, verdicts: verdicts[$1.key] ?? [:])
    }
  }
}

extension RunFields {
  /// The verdicts by aspect; null is none.
  func verdicts() throws -> [String: Verdict] {
    guard let object = try object("verdicts") else { return [:] }
    var result: [String: Verdict] = [:]
    for aspect in object.fields.keys.sorted() {
      guard let name = try object.text(aspect) else { continue }
      guard let verdict = Verdict(rawValue: name) else {
        throw problem("expected match, mismatch or unspecified, found \"\(name)\"", "verdicts.\(aspect)")
      }
      result[aspect] = verdict
    }
    return result
  }
}
