import Foundation
import Testing

/// `--profile` and `--trace` as a person gives them: the program runs in a process of its own.
@Suite(.serialized) struct ProfileCommandTests {
  private struct Outcome {
    let status: Int32
    let output: String
    let errors: String
  }

  private static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("Fixtures")
  private static let model = fixtures.appendingPathComponent("tiny-llama/mixed.gguf").path
  private static let generate = [
    "generate", "--model", model, "--compute", "f32", "--prompt", "a b", "--max-tokens", "4",
  ]

  /// Runs the program that was built beside the tests.
  private static func retort(_ arguments: [String]) throws -> Outcome {
    let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    let process = Process()
    process.executableURL = URL(fileURLWithPath: tests).deletingLastPathComponent()
      .appendingPathComponent("retort")
    process.arguments = arguments
    let (output, errors) = (Pipe(), Pipe())
    (process.standardOutput, process.standardError) = (output, errors)
    try process.run()
    // What goes to standard error is far below what a pipe holds.
    let text = output.fileHandleForReading.readDataToEndOfFile()
    let notes = errors.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return Outcome(
      status: process.terminationStatus, output: String(decoding: text, as: UTF8.self),
      errors: String(decoding: notes, as: UTF8.self))
  }

  @Test(arguments: ["cpu", "opencl"])
  func generateTellsItsKernelsAndSaysTheSame(backend: String) throws {
    let plain = try Self.retort(Self.generate + ["--backend", backend])
    let profiled = try Self.retort(Self.generate + ["--backend", backend, "--profile"])
    #expect(plain.status == 0 && profiled.status == 0, "\(profiled.errors)")
    #expect(plain.output == profiled.output)
    #expect(!plain.errors.contains("profile of"))
    for part in ["profile of", "matmul", "attention", "furthest from the ceiling", "wall"] {
      #expect(profiled.errors.contains(part), "\(part)\n\(profiled.errors)")
    }
    #expect(profiled.errors.contains("launches,") == (backend == "opencl"))
  }

  @Test func withJSONTheProfileIsALineOfItsOwnAndATraceAFile() throws {
    let trace = NSTemporaryDirectory() + "retort-trace-\(UUID().uuidString).json"
    defer { try? FileManager.default.removeItem(atPath: trace) }
    let result = try Self.retort(Self.generate + ["--backend", "opencl", "--json", "--trace", trace])
    #expect(result.status == 0, "\(result.errors)")
    let lines = result.output.split(separator: "\n")
    #expect(lines.count == 2)
    let object = try JSONSerialization.jsonObject(with: Data(lines[1].utf8)) as? [String: Any]
    let profile = try #require((object?["profiles"] as? [[String: Any]])?.first)
    #expect((profile["kernels"] as? [[String: Any]])?.isEmpty == false)
    let data = try Data(contentsOf: URL(fileURLWithPath: trace))
    let timeline = try JSONSerialization.jsonObject(with: data) as? [String: Any]
    #expect((timeline?["traceEvents"] as? [[String: Any]])?.isEmpty == false)
  }

  @Test func studentsAreProfiledToo() throws {
    let output = NSTemporaryDirectory() + "retort-embed-\(UUID().uuidString)"
    defer {
      for path in [output + ".jsonl", output + ".npy", output + ".npy.ids.jsonl"] {
        try? FileManager.default.removeItem(atPath: path)
      }
    }
    let pairs = (0..<4).map { "{\"query\":\"a\",\"title\":\"b \($0)\",\"pair_id\":\"\($0)\"}\n" }.joined()
    try pairs.write(toFile: output + ".jsonl", atomically: true, encoding: .utf8)
    let result = try Self.retort([
      "embed", "--model", Self.fixtures.appendingPathComponent("tiny-bert/exact").path, "--input",
      output + ".jsonl", "--field", "title", "--output", output + ".npy", "--backend", "opencl", "--profile",
    ])
    #expect(result.status == 0, "\(result.errors)")
    #expect(result.errors.contains("encoder_attention"), "\(result.errors)")
  }

  @Test func aTraceWithoutAProfileIsRefused() throws {
    let result = try Self.retort(Self.generate + ["--no-profile", "--trace", "t.json"])
    #expect(result.status == 64)
    #expect(result.errors.contains("--trace needs --profile"))
  }
}
