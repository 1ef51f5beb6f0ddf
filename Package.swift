// swift-tools-version: 6.1
import PackageDescription

/// Modules as a table, lowest level first; `Tools/check-imports` holds the sources to the same levels
/// (docs/architecture.md).
struct Module {
  let name: String
  var modules: [String] = []
  var products: [Target.Dependency] = []
}

let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

let modules: [Module] = [
  Module(name: "Basics"),
  Module(name: "OpenCLRuntime", modules: ["COpenCL", "Kernels", "Basics"]),
  Module(name: "Tensors", modules: ["Basics"]),
  Module(name: "ModelFormats", modules: ["Basics"]),
  Module(name: "Tokenizers", modules: ["Basics"]),
  Module(name: "CPUBackend", modules: ["CKernels", "COneDNN", "Basics", "Tensors"]),
  Module(name: "OpenCLBackend", modules: ["Kernels", "OpenCLRuntime", "Basics", "Tensors"]),
  Module(name: "DeviceCheck", modules: ["Basics", "Tensors"]),
  Module(name: "Transformers", modules: ["Basics", "Tensors", "ModelFormats", "Tokenizers"]),
  Module(name: "Generation", modules: ["Basics", "Tensors", "Tokenizers", "Transformers"]),
  Module(name: "Training", modules: ["Basics", "Tensors", "ModelFormats"]),
  Module(name: "Relevance", modules: ["Basics", "Tokenizers"]),
  Module(name: "Scoring", modules: ["Basics", "Tensors", "ModelFormats", "Tokenizers", "Transformers"]),
  Module(
    name: "Distillation",
    modules: ["Basics", "Tensors", "ModelFormats", "Tokenizers", "Transformers", "Training", "Relevance"]),
  Module(
    name: "Labelling",
    modules: ["CSQLite", "Basics", "Tensors", "Tokenizers", "Transformers", "Generation", "Relevance"]),
]

let testTargets: [Module] = [
  Module(name: "BasicsTests", modules: ["Basics"]),
  Module(name: "TokenizersTests", modules: ["Basics", "Tokenizers"]),
  Module(name: "ModelFormatsTests", modules: ["Basics", "ModelFormats", "Tokenizers"]),
  Module(name: "OpenCLRuntimeTests", modules: ["Basics", "OpenCLRuntime"]),
  // Runs the program in a process of its own.
  Module(name: "CommandTests", modules: ["retort"]),
  Module(
    name: "OperationTests",
    modules: [
      "Kernels", "Basics", "Tensors", "CPUBackend", "OpenCLBackend", "OpenCLRuntime", "DeviceCheck",
    ]),
  Module(
    name: "GenerationTests",
    modules: [
      "Basics", "Tensors", "CPUBackend", "OpenCLBackend", "OpenCLRuntime", "ModelFormats", "Tokenizers",
      "Transformers", "Generation",
    ]),
  Module(
    name: "ScoringTests",
    modules: [
      "Basics", "Tensors", "CPUBackend", "OpenCLBackend", "OpenCLRuntime", "ModelFormats", "Tokenizers",
      "Transformers", "Scoring",
    ]),
  Module(name: "TrainingTests", modules: ["Basics", "Tensors", "CPUBackend", "ModelFormats", "Training"]),
  Module(name: "RelevanceTests", modules: ["Basics", "Tokenizers", "Relevance"]),
  Module(
    name: "DistillationTests",
    modules: [
      "Basics", "Tensors", "CPUBackend", "OpenCLBackend", "OpenCLRuntime", "ModelFormats", "Tokenizers",
      "Transformers", "Training", "Relevance", "Distillation", "Scoring",
    ]),
  Module(
    name: "LabellingTests",
    modules: [
      "Basics", "Tensors", "CPUBackend", "ModelFormats", "Tokenizers", "Transformers", "Generation",
      "Relevance", "Labelling", "LabellingMock",
    ]),
]

func dependencies(_ module: Module) -> [Target.Dependency] {
  module.modules.map { .byName(name: $0) } + module.products
}

let package = Package(
  name: "retort",
  platforms: [.macOS(.v15)],
  products: [
    .executable(name: "retort", targets: ["retort"]),
    .library(name: "Retort", targets: modules.map(\.name)),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0")
  ],
  targets: [
    .systemLibrary(
      name: "COpenCL", pkgConfig: "OpenCL",
      providers: [.apt(["ocl-icd-opencl-dev", "opencl-headers"])]),
    .systemLibrary(name: "COneDNN", providers: [.apt(["libdnnl-dev"])]),
    .systemLibrary(
      name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
    .target(name: "CKernels"),
    .target(
      name: "Kernels", path: "Kernels",
      resources: ["common", "cpu", "nvidia", "portable", "probe", "rows", "tuned"].map { .embedInCode($0) }),
    .executableTarget(
      name: "retort",
      dependencies: modules.map { .byName(name: $0.name) } + [argumentParser]),
    .target(
      name: "TestSupport",
      dependencies: ["Basics", "Tensors", "CPUBackend", "OpenCLBackend", "OpenCLRuntime"],
      path: "Tests/TestSupport"),
    // A bulk job without a model, for tests that kill its process and for Bench/ledger-scale.
    .executableTarget(
      name: "LabellingMock", dependencies: ["Basics", "Relevance", "Labelling"],
      path: "Tests/LabellingMock"),
    // The host's time for each launch, for Bench/launch-cost.
    .target(
      name: "LaunchCostDriver", path: "Bench/launch-cost/Driver",
      linkerSettings: [.linkedLibrary("dl", .when(platforms: [.linux]))]),
    .executableTarget(
      name: "LaunchCost", dependencies: ["LaunchCostDriver", "Tensors", "OpenCLRuntime", "OpenCLBackend"],
      path: "Bench/launch-cost/LaunchCost"),
  ]
    + modules.map { .target(name: $0.name, dependencies: dependencies($0)) }
    + testTargets.map {
      .testTarget(name: $0.name, dependencies: dependencies($0) + ["TestSupport"], path: "Tests/\($0.name)")
    },
  swiftLanguageModes: [.v6]
)
