import Basics
import Foundation
import Testing

@testable import OpenCLRuntime

/// Programs for `sm_90a` made of PTX for `sm_90`, on what clang makes of such kernels (Tests/Fixtures/ptx).
@Suite struct PTXTextTests {
  private static func loop() throws -> PTXText { try fixture("loop") }

  private static func fixture(_ name: String) throws -> PTXText {
    let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appending(path: "../Fixtures/ptx/\(name).ptx")
    return try PTXText(binary: Array(Data(contentsOf: file)) + [0, 1, 2])
  }

  private func refusal(_ text: PTXText) -> String? {
    let error = #expect(throws: RetortError.self) { try text.withInstructionsOfSM90a() }
    #expect(error?.code == .unsupported)
    return error?.message
  }

  /// The text with `line` after the first or last line that has `mark`.
  private func inserting(_ line: String, after mark: String, in text: PTXText, last: Bool = false) throws
    -> PTXText
  {
    var lines = text.text.split(separator: "\n", omittingEmptySubsequences: false)
    let found = lines.indices.filter { lines[$0].contains(mark) }
    lines.insert(Substring(line), at: try #require(last ? found.last : found.first) + 1)
    return PTXText(lines.joined(separator: "\n"))
  }

  /// Holds the lines that differ to those that are to, and counts them.
  private func changes(_ before: PTXText, _ after: PTXText) -> [String: Int] {
    #expect(before.target == "sm_90" && after.target == "sm_90a")
    let (old, new) = (before.text.split(separator: "\n"), after.text.split(separator: "\n"))
    #expect(old.count == new.count)
    let kinds = ["mma_async", "wait_group", "mbarrier.init.", "cp.async.bulk", "try_wait", "fence.proxy"]
    var counts: [String: Int] = [:]
    for (old, new) in zip(old, new) where old != new {
      if old.contains("/*sm_90a ") {
        #expect(!new.contains("/*") && !new.contains("*/"))
        #expect(old.contains("/*sm_90a \(new.trimmingCharacters(in: .whitespaces)) */"))
        counts[kinds.first { new.contains($0) } ?? "other", default: 0] += 1
      } else {
        counts[String(new), default: 0] += 1
      }
    }
    return counts
  }

  @Test func commentsBecomeInstructionsAndNothingElseChanges() throws {
    let before = try Self.loop()
    let after = try before.withInstructionsOfSM90a()
    #expect(
      changes(before, after) == ["mma_async": 2, "wait_group": 3, ".version 8.0": 1, ".target sm_90a": 1])
    #expect(after.text.split(separator: "wgmma.mma_async").count == 5, "two instructions a product")
  }

  /// The kernel that the host rewrites, with every number of warpgroups that a table may ask for.
  @Test(arguments: KernelFeatures.WarpgroupInstructions.groupSizes)
  func theProductIsTakenAndATouchedSumInItIsNot(_ warpgroups: Int) throws {
    let before = try Self.fixture("product_wgmma-\(warpgroups)")
    let roundsUp = before.text.contains(", \(64 * warpgroups - 1);\n\tshr.u32")
    #expect(roundsUp, "rows of a group")
    let after = try before.withInstructionsOfSM90a()
    // Four spans of the loop's body, three copies before it, five barriers.
    #expect(
      changes(before, after) == [
        "mma_async": 4, "wait_group": 5, "cp.async.bulk": 7, "try_wait": 4, "mbarrier.init.": 5,
        "fence.proxy": 1, ".version 8.0": 1, ".target sm_90a": 1,
      ])
    #expect(after.text.split(separator: "wgmma.mma_async").count == 9, "two instructions a product")
    let sums = try #require(before.text.firstRange(of: "bf16.bf16 {"))
    let registers = before.text[sums.upperBound...].prefix { $0 != "}" }.split(separator: ",")
    #expect(registers.count == 64)
    for register in [registers[0], registers[63]] {
      let touch = "\tadd.f32 \t%f1, %f1, \(register);"
      for last in [false, true] {
        let touched = try inserting(touch, after: "wait_group.sync.aligned 1", in: before, last: last)
        #expect(refusal(touched)?.contains(touch) == true)
      }
    }
  }

  @Test func aZeroByteAtTheEndStaysWhereThereWasOne() throws {
    #expect(try Self.loop().withInstructionsOfSM90a().bytes.suffix(2) == [0x0A, 0])
    let without = try PTXText(binary: Array(Self.loop().text.utf8)).withInstructionsOfSM90a()
    #expect(without.bytes == Array(without.text.utf8))
  }

  @Test func aLaterVersionStays() throws {
    let later = PTXText(try Self.loop().text.replacing(".version 7.8", with: ".version 8.4"))
    #expect(try later.withInstructionsOfSM90a().text.contains(".version 8.4\n"))
  }

  /// PTX leaves open what a sum holds while products that add to it are under way.
  @Test func sumsUsedWhileProductsAreUnderWayAreRefused() throws {
    let text = try Self.loop()
    let sums = try #require(text.text.firstRange(of: "bf16.bf16 {"))
    let register = text.text[sums.upperBound...].prefix { $0 != "," }
    let touch = "\tadd.f32 \t%f1, %f1, \(register);"
    let (product, wait) = ("mma_async", "wait_group.sync.aligned 1")
    #expect(refusal(try inserting(touch, after: product, in: text))?.contains(touch) == true)
    #expect(refusal(try inserting(touch, after: wait, in: text, last: true))?.contains(touch) == true)
    // Before the first and after the last they are no one's.
    _ = try inserting(touch, after: "bar.sync", in: text).withInstructionsOfSM90a()
    _ = try inserting(touch, after: "aligned 0; */", in: text).withInstructionsOfSM90a()
    // Copies at a loop's end; a constant is none.
    let (copy, constant) = ("\tmov.f32 \t\(register), %f1;", "\tmov.f32 \t\(register), 0f00000000;")
    _ = try inserting(copy, after: wait, in: text, last: true).withInstructionsOfSM90a()
    #expect(refusal(try inserting(constant, after: wait, in: text))?.contains(constant) == true)
    // The same with no wait for all after the loop: what follows the last product may go back to the first.
    let open = PTXText(text.text.replacing("/*sm_90a wgmma.wait_group.sync.aligned 0; */", with: ""))
    #expect(refusal(try inserting(touch, after: wait, in: open, last: true))?.contains(touch) == true)
  }

  @Test func whatIsNoPTXOrHasNoInstructionsIsRefused() throws {
    let text = try Self.loop().text
    for bytes in [[], Array("ELF".utf8), Array(".version 7.8".utf8)] {
      let error = #expect(throws: RetortError.self) { try PTXText(binary: bytes) }
      #expect(error?.code == .unsupported)
    }
    #expect(refusal(PTXText(text.replacing("sm_90a", with: "x")))?.contains("kept no") == true)
    #expect(refusal(PTXText(text.replacing("*/", with: "")))?.contains("does not end") == true)
  }

  @Test func aDriverWithoutPTXRefusesSuchAProgramAndBuildsIt() throws {
    let context = try OpenCLContext(uncached: OpenCLPlatforms.devices()[0])
    let error = #expect(throws: RetortError.self) {
      try context.makeProgram(name: "scale", source: TestKernels.scale, rewrites: true)
    }
    #expect(error?.code == .unsupported)
    _ = try context.makeProgram(name: "scale", source: TestKernels.scale)
  }

  /// The probe's products, by emulated instructions.
  @Test(arguments: KernelFeatures.WarpgroupInstructions.groupSizes)
  func theProbesProductIsWhatItExpects(_ warpgroups: Int) throws {
    let context = try OpenCLContext(device: OpenCLPlatforms.devices()[0])
    #expect(try DeviceProbe.multipliesOnWarpgroups(context, .emulated, warpgroups))
  }
}
