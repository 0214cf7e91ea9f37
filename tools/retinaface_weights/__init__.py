"""Reading, checking and writing RetinaFace weights; the parts behind `tools/convert_weights.py`.

    network       the architectures as lists of layers, and the profiles
    forward       a float64 forward pass of such a list (numpy)
    archive       the safetensors container
    weights_file  a network's weights: validation, metadata, self-test
    pickle_vm     a pickle reader that executes nothing
    torch_file    PyTorch state dicts (.pth)
    mxnet_file    MXNet parameters and symbol graphs (.params, -symbol.json)
    seeded        random networks for tests
    onnx_export, ncnn_export, header_export    the ways out

The file format is described in `weights/README.md`.  Python 3.9, numpy; `onnx` only for `onnx_export`.
"""
