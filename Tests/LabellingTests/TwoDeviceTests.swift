import Basics
import Foundation
import Testing

@testable import Labelling

/// The command line on two OpenCL devices: PoCL shows the processor twice where it is told to.
@Suite(.serialized) struct TwoDeviceTests {
  struct Outcome {
    let status: Int32
    let output: String
    let errors: String
  }

  /// Runs the built program; both of its outputs are short.
  static func retort(_ arguments: [String]) throws -> Outcome {
    let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    let process = Process()
    process.executableURL = URL(fileURLWithPath: tests).deletingLastPathComponent()
      .appendingPathComponent("retort")
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(["POCL_DEVICES": "pthread pthread"]) {
      $1
    }
    let (output, errors) = (Pipe(), Pipe())
    (process.standardOutput, process.standardError) = (output, errors)
    try process.run()
    let written = try output.fileHandleForReading.readToEnd() ?? Data()
    let said = try errors.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    return Outcome(
      status: process.terminationStatus, output: String(decoding: written, as: UTF8.self),
      errors: String(decoding: said, as: UTF8.self))
  }

  /// The tiny model with room for whole prompts, which its tokenizer cuts into some 1,400 tokens.
  static func model(in folder: String) throws -> String {
    var data = try Data(contentsOf: URL(fileURLWithPath: TinyModel.source().path))
    let key = try #require(data.range(of: Data("llama.context_length".utf8)))
    // After the key: the value's type (4, a 32-bit number), then the value.
    let value = key.upperBound + 4
    try #require(data[key.upperBound] == 4)
    data.replaceSubrange(value..<value + 4, with: withUnsafeBytes(of: UInt32(4096).littleEndian) { Data($0) })
    let path = folder + "/tiny.gguf"
    try data.write(to: URL(fileURLWithPath: path))
    return path
  }

  /// PoCL's devices by number.
  static func devices() throws -> [Int] {
    let listed = try JSONSerialization.jsonObject(with: Data(retort(["devices", "--json"]).output.utf8))
    let all = (listed as? [String: Any])?["devices"] as? [[String: Any]] ?? []
    return all.compactMap {
      $0["platform"] as? String == "Portable Computing Language" ? $0["index"] as? Int : nil
    }
  }

  @Test(
    "Two devices, or two engines on the processor, write the bytes of one, and both have a part of the pairs",
    .timeLimit(.minutes(5)), arguments: ["opencl", "cpu"])
  func sameBytes(_ backend: String) throws {
    let pairs = (0..<13).map {
      #"{"pair_id":"p\#($0)","query":"query \#($0 / 3)","title":"item \#($0), red, 5 ft"}"#
    }
    let files = try JobFiles(pairs.joined(separator: "\n") + "\n")
    let model = try TwoDeviceTests.model(in: files.folder)
    let devices = backend == "cpu" ? [0, 1] : try TwoDeviceTests.devices()
    try #require(devices.count == 2)
    var texts: [[UInt8]] = []
    for list in ["\(devices[0])", "\(devices[0]),\(devices[1])"] {
      let output = files.folder + "/labels-\(list).jsonl"
      let outcome = try TwoDeviceTests.retort([
        "label", "--model", model, "--input", files.input, "--output", output, "--backend", backend,
        "--device", list, "--threads", "2", "--compute", "f32", "--template", "plain", "--context", "4000",
        "--batch", "2",
        "--max-tokens", "1", "--outline", "free", "--json", "--quiet",
      ])
      try #require(outcome.status == 0, "\(outcome.errors)")
      texts.append(try files.read(output))
      let report = try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any]
      #expect(report?["labelled"] as? Int == 13)
      let counts = (report?["devices"] as? [[String: Any]] ?? []).compactMap { $0["pairs"] as? Int }
      #expect(counts.count == texts.count && counts.reduce(0, +) == 13 && counts.allSatisfy { $0 > 0 })
    }
    #expect(texts[0] == texts[1] && texts[0].count > 1000)
  }

  @Test(
    "Lists of devices are refused where one is wanted, and devices that are not there by number",
    arguments: [
      (["generate", "--device", "0,1", "--prompt", "a"], 64, "This command runs on one device"),
      (["generate", "--device", "all", "--prompt", "a"], 64, "This command runs on one device"),
      (["label", "--device", "0,0", "--input", "/dev/null", "--output", "x"], 64, "'0,0' is invalid"),
      (["label", "--device", "1,", "--input", "/dev/null", "--output", "x"], 64, "'1,' is invalid"),
    ] as [([String], Int32, String)])
  func refused(_ arguments: [String], _ status: Int32, _ message: String) throws {
    let outcome = try TwoDeviceTests.retort(arguments + ["--model", TinyModel.source().path])
    #expect(outcome.status == status && outcome.output.isEmpty)
    #expect(outcome.errors.contains(message), "\(outcome.errors)")
  }

  @Test("A device that is not there ends the command before anything is loaded")
  func absent() throws {
    let files = try JobFiles(#"{"query":"a","title":"b"}"# + "\n")
    let outcome = try TwoDeviceTests.retort([
      "label", "--model", TinyModel.source().path, "--input", files.input, "--output", files.output,
      "--backend", "opencl", "--device", "0,77",
    ])
    #expect(outcome.status == 1)
    #expect(outcome.errors.contains("there is no OpenCL device 77") && outcome.errors.contains("no-device"))
    #expect(!FileManager.default.fileExists(atPath: files.ledgerPath))
  }
}
