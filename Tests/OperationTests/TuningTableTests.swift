import Basics
import Foundation
import OpenCLBackend
import OpenCLRuntime
import Tensors
import TestSupport
import Testing

/// Tables of launch parameters: what they may say, and which of them wins.
@Suite struct TuningTableTests {
  private static func table(_ text: String) throws -> TuningTable {
    try TuningTable(json: Data(text.utf8), file: "some/table.json")
  }

  private static func text(
    format: String = "retort-tuned-1", kernel: String = "product.cpu", shapeClass: String = "any",
    parameters: String = "{\"block_tiles\": 8}"
  ) -> String {
    """
    {"format": "\(format)", "applies_to": {"vendor": "pocl"}, "entries": [
      {"kernel": "\(kernel)", "class": "\(shapeClass)", "parameters": \(parameters)}]}
    """
  }

  @Test(arguments: [
    ("{\"format\": \"retort", nil), ("[]", nil), ("{\"format\": 3, \"applies_to\": {}}", "format"),
    ("{\"format\": \"retort-tuned-1\", \"applies_to\": {}}", "entries"),
    (text(format: "retort-tuned-9"), "format"), (text(shapeClass: "huge"), "entries[0].class"),
    (text(parameters: "{\"block_tiles\": 7}"), "entries[0].parameters.block_tiles"),
    (text(parameters: "{\"block_tiles\": -1}"), "entries[0].parameters.block_tiles"),
    (text(parameters: "{\"block_tiles\": \"8\"}"), "entries[0].parameters.block_tiles"),
    (text(parameters: "{\"block_tiles\": 8.5}"), "entries[0].parameters.block_tiles"),
    (text(parameters: "{\"COLUMNS\": 8}"), "entries[0].parameters.COLUMNS"),
    (text(parameters: "8"), "entries[0].parameters"),
  ])
  func aBrokenTableNamesItsFileAndField(_ text: String, _ field: String?) {
    let error = #expect(throws: RetortError.self) { try Self.table(text) }
    #expect(error?.code == .malformedFile && error?.file == "some/table.json")
    #expect(error?.field == field)
    #expect(error?.remedy.contains("retort tune") == true)
  }

  @Test func aTableSurvivesItsOwnJSON() throws {
    let table = TuningTable(
      appliesTo: .init(vendor: "pocl", architecture: "haswell", device: "a \"device\""), driver: "3.1",
      measuredAt: "2026-11-28T00:00:00Z",
      entries: [
        .init(kernel: "product.cpu", shapeClass: "any", parameters: ["block_tiles": 8], microseconds: 12.5)
      ])
    #expect(try TuningTable(json: table.json(), file: "") == table)
  }

  @Test func kernelsOfAnotherVersionAreKeptAndNotUsed() throws {
    let table = try Self.table(Self.text(kernel: "product.future", parameters: "{\"X\": 1}"))
    #expect(table.entries[0].parameters == ["X": 1])
  }

  /// A folder with a table for each scope, of which block_tiles tells which one won.
  private static func rows(_ tables: [(TuningTable.Scope, Int)]) throws -> Int {
    let folder = try TuningFolder()
    for (index, (scope, rows)) in tables.enumerated() {
      let entry = TuningTable.Entry(
        kernel: "product.cpu", shapeClass: "any", parameters: ["block_tiles": rows])
      try TuningTable(appliesTo: scope, entries: [entry]).write(to: "\(folder.path)/\(index).json")
    }
    let device = try OpenCLPlatforms.devices()[0]
    return try Tuning.of(device, userFolder: folder.path)[.productCPU]["block_tiles"]
  }

  @Test func theMostSpecificTableWins() throws {
    let identity = try OpenCLPlatforms.devices()[0].identity
    let vendor = TuningTable.Scope(vendor: identity.vendor.rawValue)
    let architecture = TuningTable.Scope(
      vendor: identity.vendor.rawValue, architecture: identity.architecture)
    let device = TuningTable.Scope(device: identity.device)
    #expect(try Self.rows([(device, 2), (architecture, 3), (vendor, 4), (.init(), 5)]) == 2)
    #expect(try Self.rows([(.init(), 5), (vendor, 4), (architecture, 3)]) == 3)
    #expect(try Self.rows([(vendor, 4), (.init(), 5)]) == 4)
    #expect(try Self.rows([(.init(), 5)]) == 5, "the user's default is over shipped tables")
    let shipped = try Self.rows([])
    #expect(try Self.rows([(.init(vendor: "nobody"), 2), (.init(device: "none"), 3)]) == shipped)
  }

  @Test func aClassIsOverAllClasses() throws {
    let folder = try TuningFolder()
    try TuningTable(
      appliesTo: .init(),
      entries: [
        .init(kernel: "matmul_tile.cpu", shapeClass: "f32.few", parameters: ["block_tiles": 2]),
        .init(kernel: "matmul_tile.cpu", shapeClass: "*", parameters: ["block_tiles": 32]),
      ]
    ).write(to: folder.path + "/a.json")
    let tuning = try Tuning.of(OpenCLPlatforms.devices()[0], userFolder: folder.path)
    #expect(tuning[.matmulTile, "f32.few"]["block_tiles"] == 2)
    #expect(tuning[.matmulTile, "packed.many"]["block_tiles"] == 32)
    #expect(tuning[.matmulTile, "packed.many"]["tasks_per_unit"] > 0, "what a table leaves out stays")
    #expect(tuning.files.last == folder.path + "/a.json")
  }

  @Test func aBackendDoesNotOpenOnABrokenTable() throws {
    let folder = try TuningFolder()
    try Data("{".utf8).write(to: URL(fileURLWithPath: folder.path + "/torn.json"))
    try Data("no table".utf8).write(to: URL(fileURLWithPath: folder.path + "/notes.txt"))
    let error = #expect(throws: RetortError.self) {
      try Tuning.of(OpenCLPlatforms.devices()[0], userFolder: folder.path)
    }
    #expect(error?.code == .malformedFile && error?.file == folder.path + "/torn.json")
  }

  @Test func anotherDevicesTableIsNotJudged() throws {
    let folder = try TuningFolder()
    let device = try OpenCLPlatforms.devices()[0]
    let entry = TuningTable.Entry(kernel: "product.cpu", shapeClass: "gone", parameters: ["X": 2])
    try TuningTable(appliesTo: .init(device: "none"), entries: [entry]).write(to: folder.path + "/a.json")
    #expect(try !Tuning.of(device, userFolder: folder.path).files.contains(folder.path + "/a.json"))
    try TuningTable(appliesTo: .init(), entries: [entry]).write(to: folder.path + "/a.json")
    let error = #expect(throws: RetortError.self) { try Tuning.of(device, userFolder: folder.path) }
    #expect(error?.field == "entries[0].class")
  }

  @Test func shippedTablesAreFoundByTheDevicesVendor() throws {
    for device in try OpenCLPlatforms.devices() {
      let files = try Tuning.of(device, userFolder: nil).files
      #expect(files.first == "Kernels/tuned/default.json")
      #expect(files.contains("Kernels/tuned/pocl.json") == (device.identity.vendor == .pocl))
      #expect(files.contains("Kernels/tuned/intel_cpu.json") == (device.identity.vendor == .intel))
    }
  }

  @Test func parametersThatChangeBitsAreTold() throws {
    let device = try OpenCLPlatforms.devices()[0]
    var tuning = try Tuning.of(device, userFolder: nil)
    tuning[.elementwiseGPU] = KernelParameters(["SEGMENT": 4])
    let before = try tuning.changedBits(of: .training(.f32), .gpu, .portable)
    tuning[.normsGPU] = KernelParameters(["GROUP": 512])
    let norms = "norms.gpu any GROUP=512"
    #expect(before == [])
    for work in [Workload.generation, .training(.f32), .training(.bf16)] {
      #expect(try tuning.changedBits(of: work, .gpu, .portable) == [norms])
      #expect(try tuning.changedBits(of: work, .cpu, .portable) == [])
    }
    // What a device cannot run changes nothing there, nor what the work does not launch.
    tuning[.productWarpgroupChoice] = KernelParameters(["WGMMA": 1])
    tuning[.attentionGPU] = KernelParameters(["ITEMS": 64, "SPLIT": 1024])
    let (wgmma, split) = ("product_wgmma_choice.nvidia any WGMMA=1", "attention.gpu any SPLIT=1024")
    let warpgroups = KernelFeatures(warpInstructions: .emulated, warpgroupInstructions: .emulated)
    #expect(try tuning.changedBits(of: .training(.bf16), .gpu, .portable) == [norms])
    #expect(try tuning.changedBits(of: .training(.f32), .gpu, warpgroups) == [norms])
    #expect(try tuning.changedBits(of: .training(.bf16), .gpu, warpgroups) == [norms, wgmma])
    #expect(try tuning.changedBits(of: .generation, .gpu, warpgroups) == [split, norms])
    let backend = try OpenCLBackend(device: device, family: .gpu, features: warpgroups, tuning: tuning)
    #expect(
      try backend.bitChangingParameters(of: .training(.bf16)) == "tensor cores, \(norms), \(wgmma)")
    #expect(try backend.bitChangingParameters(of: .training(.f32)) == norms)
  }

  @Test func aTableThatAsksForWhatHasNotBeenSeenToRunIsTold() throws {
    let device = try OpenCLPlatforms.devices()[0]
    var tuning = try Tuning.of(device, userFolder: nil)
    #expect(
      try tuning.caution(.gpu, .portable) == nil, "what is shipped asks for nothing that may be missing")
    tuning[.productWarpgroupChoice] = KernelParameters(["WGMMA": 1])
    let warpgroups = KernelFeatures(warpInstructions: .emulated, warpgroupInstructions: .emulated)
    #expect(try tuning.caution(.gpu, warpgroups) == nil && tuning.caution(.cpu, .portable) == nil)
    // A device that was opened before it was measured: warps are known, warpgroups are not.
    let warps = KernelFeatures(warpInstructions: .emulated)
    let backend = try OpenCLBackend(device: device, family: .gpu, features: warps, tuning: tuning)
    let tuner = try Tuner(
      device: device, settings: .init(budgetSeconds: 0), earlier: tuning, family: .gpu, features: warps)
    #expect(!backend.multipliesOnWarpgroups(.bf16))
    for caution in [try backend.tuningCaution(), try tuner.caution()] {
      #expect(caution?.contains("product_wgmma_choice.nvidia any WGMMA=1") == true)
      #expect(caution?.contains("retort devices --probe") == true)
    }
  }

  /// Batch invariance: a row's sum may depend on the device's table, never on how many rows there are.
  @Test func whatChangesBitsHasOneValueForAllRowCounts() {
    for kernel in TunableKernel.all where kernel.parameters.contains(where: { $0.changesBits }) {
      #expect(kernel.classes == ["any"], "\(kernel.name)")
    }
    #expect(Set(TunableKernel.all.map(\.name)).count == TunableKernel.all.count)
  }
}

/// A folder of its own that goes away with the last reference.
final class TuningFolder {
  let path: String

  init() throws {
    path = NSTemporaryDirectory() + "retort-tuning-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}
