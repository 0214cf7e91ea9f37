"""Reading, checking and writing RetinaFace weights; the parts behind `tools/convert_weights.py`.

    network       the architectures as lists of layers, and the profiles
    forward       a forward pass of such a list (numpy)
    reading       any file as a network: what it holds, and what it says about itself
    assumptions   what a file does not say, and how that is folded into the weights
    plausibility  whether a network finds the face in the sample picture, and what would fit better
    archive       the safetensors container
    weights_file  a network's weights: validation, metadata, self-test
    pickle_vm, torch_file           PyTorch state dicts (.pth)
    names, *_names                  what other people call the tensors of a known network
    graph                           a network that comes as a graph, compared with the known ones
    mxnet_file, onnx_file, ncnn_file    graphs of MXNet, ONNX (read by protobuf) and ncnn
    formats       files of other kinds, named
    seeded        random networks for tests
    onnx_export, ncnn_export, header_export    the ways out

The file format is described in `weights/README.md`.  Python 3.9, numpy; `onnx` only for `onnx_export`.
"""
