import Basics
import CPUBackend
import Distillation
import Foundation
import ModelFormats
import OpenCLBackend
import OpenCLRuntime
import Relevance
import Tensors
import Transformers

/// Files of a small training on the fixture's model and words, in a folder of their own.
final class TinyRun {
  let folder: String
  let model: String
  let backend: any TrainingBackend

  static let aspects = ["product type", "brand"]
  private static let queries = [
    "red shoes", "cordless drill", "desk lamp", "steel toe boots", "oak table", "waterproof boots",
  ]
  private static let titles = [
    "acme running shoes red", "northstar hammer drill 18v", "led desk lamp with charger", "steel toe boot",
    "oak tabletop set of 4", "acme women's boots size 9", "kids shoes",
  ]

  init() throws {
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("tiny-run-\(UUID())").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    model = try TrainingStep.modelFolder()
    backend = try CPUBackend(threads: 2)
    try write("train.jsonl", (0..<24).map { Self.pair($0, "t") })
    try write("dev.jsonl", (0..<18).map { Self.pair($0 &* 5 &+ 1, "d") })
    try write("teacher.jsonl", (0..<20).map { Self.record($0, "t") })
    try write("teacher_dev.jsonl", (0..<18).map { Self.record($0 &* 5 &+ 1, "d") })
  }

  deinit {
    for path in [folder, model] { try? FileManager.default.removeItem(atPath: path) }
  }

  /// A backend with a launch parameter of its own on which bits depend.
  static func tuned(group: Int) throws -> OpenCLBackend {
    let device = try OpenCLPlatforms.devices()[0]
    var tuning = try Tuning.of(device, userFolder: nil)
    tuning[.normsGPU] = KernelParameters(["GROUP": group])
    return try OpenCLBackend(device: device, family: .gpu, features: .portable, tuning: tuning)
  }

  func path(_ name: String) -> String { folder + "/" + name }

  func write(_ name: String, _ lines: [String]) throws {
    try lines.map { $0 + "\n" }.joined().write(toFile: path(name), atomically: true, encoding: .utf8)
  }

  func bytes(_ name: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: path(name))) }

  private static func grade(_ number: Int) -> Int { (number % queries.count + number % titles.count) % 3 }

  static func pair(_ number: Int, _ prefix: String, label: String? = nil) -> String {
    let query = number % queries.count
    let name = label ?? LabelSet.standard.names[grade(number)]
    return """
      {"pair_id": "\(prefix)\(number)", "query_id": "q\(query)", "query": "\(queries[query])", \
      "title": "\(titles[number % titles.count])", "label": "\(name)"}
      """
  }

  static func record(
    _ number: Int, _ prefix: String, names: [String] = LabelSet.standard.names, verdict: String = "match"
  ) -> String {
    let order = (0..<3).map { ($0 + grade(number)) % 3 }
    let probabilities = [0.7, 0.2, 0.1]
    let entries = names.enumerated().map { "\"\($1)\": \(probabilities[order.firstIndex(of: $0) ?? 0])" }
    return """
      {"pair_id": "\(prefix)\(number)", "probabilities": {\(entries.joined(separator: ", "))}, \
      "verdicts": {"product type": "\(number % 2 == 0 ? verdict : "mismatch")", "brand": null}}
      """
  }

  func settings(_ kind: StudentKind, losses: [LossTerm] = LossTerm.allCases) -> DistillationSettings {
    var settings = DistillationSettings()
    settings.student = kind
    settings.baseModel = "tiny"
    settings.losses = losses.map(\.rawValue)
    settings.epochs = 2
    settings.batch = 5
    settings.maximumLength = 14
    settings.slotWidth = 4
    settings.learningRate = 1e-3
    return settings
  }

  func run(
    _ settings: DistillationSettings, train: [String] = ["train.jsonl"], teacher: String? = "teacher.jsonl",
    dev: String? = "dev.jsonl", labels: LabelSet = .standard, output: String = "student",
    on other: (any TrainingBackend)? = nil
  ) throws -> DistillationRun {
    try DistillationRun(
      settings, labels: labels,
      files: DistillationRun.Files(
        initial: model, train: train.map(path), teacher: teacher.map(path), dev: dev.map(path)),
      folder: path(output), on: other ?? backend)
  }

  /// Trains to the end, or to a step that it is interrupted after.
  @discardableResult
  func train(_ run: DistillationRun, resumes: Bool = false, until step: Int = .max) throws -> Bool {
    var last = 0
    let result = try run.train(
      resumes: resumes, checkpointSeconds: nil, progress: { last = $0.step }, shouldStop: { last + 1 >= step }
    )
    guard result.outcome != .interrupted else { return false }
    _ = try run.finish(QueryBootstrap(resamples: 20, seed: 0))
    return true
  }
}

/// The `RetortError` that `body` throws, or nil where it throws none or another.
func retortError(_ body: () throws -> Void) -> RetortError? {
  do {
    try body()
    return nil
  } catch {
    return error as? RetortError
  }
}
